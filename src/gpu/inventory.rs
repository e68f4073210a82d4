//! The GPUs that this process may use: the driver's list, filtered by `CUDA_VISIBLE_DEVICES`. A machine without a driver
//! has none, and that is not an error; where the driver is there and its library is not, the variable is the list.

use std::path::Path;

use nvml_wrapper::Nvml;

use super::driver::{Device, Driver, Reading};

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Index as the driver counts.
    pub index: u32,
    /// Name of the product.
    pub name: String,
    /// Memory in bytes.
    pub memory: u64,
}

/// The GPUs and the driver that watches them.
#[derive(Debug)]
pub struct Inventory {
    driver: Option<Box<dyn Driver>>,
    gpus: Vec<Gpu>,
    unknown: Option<String>,
}

/// The GPUs of this machine that `CUDA_VISIBLE_DEVICES` leaves visible.
pub fn inventory() -> Inventory {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    match (Nvml::init(), visible) {
        (Ok(nvml), visible) => Inventory::of(Box::new(nvml), visible.as_deref()),
        (Err(_), Some(visible)) if Path::new(DRIVER).exists() => Inventory::listed(&visible),
        (Err(_), _) => Inventory::none(),
    }
}

/// The device by which programs speak to NVIDIA's driver.
const DRIVER: &str = "/dev/nvidiactl";

/// A driver that nobody can ask: the GPUs are those that a variable names, and how busy they are is not known.
#[derive(Debug)]
struct Listed(Vec<Device>);

impl Driver for Listed {
    fn devices(&self) -> Vec<Device> {
        self.0.clone()
    }

    fn reading(&self, _index: u32) -> Option<Reading> {
        None
    }
}

impl Inventory {
    /// The GPUs of a driver; `visible` is the value of `CUDA_VISIBLE_DEVICES`, if it is set.
    pub fn of(driver: Box<dyn Driver>, visible: Option<&str>) -> Self {
        let all = driver.devices();
        let seen = visible.map_or_else(|| all.clone(), |visible| filter(visible, &all));
        let gpu = |device: Device| Gpu { index: device.index, name: device.name, memory: device.memory };
        let first = visible.and_then(|visible| visible.split(',').next()).map_or("", str::trim);
        let hides = first.is_empty() || first.starts_with('-');
        let unknown = (seen.is_empty() && !hides).then(|| first.to_owned());
        Self { driver: Some(driver), gpus: seen.into_iter().map(gpu).collect(), unknown }
    }

    /// The GPUs that a value of `CUDA_VISIBLE_DEVICES` names by their indices.
    fn listed(visible: &str) -> Self {
        let device = |index| Device { index, uuid: String::new(), name: format!("GPU {index}"), memory: 0 };
        let indices = visible.split(',').filter_map(|entry| entry.trim().parse().ok());
        Self::of(Box::new(Listed(indices.map(device).collect())), Some(visible))
    }

    /// No GPUs.
    pub fn none() -> Self {
        Self { driver: None, gpus: Vec::new(), unknown: None }
    }

    /// The GPUs, in the order of `CUDA_VISIBLE_DEVICES`.
    pub fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// What `CUDA_VISIBLE_DEVICES` begins with, where that is no GPU that can be given to a trial, so that none is left: another
    /// machine's, or a part of one (MIG).
    pub fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// How they are now; empty without a driver.
    pub fn readings(&self) -> Vec<Reading> {
        let Some(driver) = &self.driver else { return Vec::new() };
        self.gpus.iter().filter_map(|gpu| driver.reading(gpu.index)).collect()
    }
}

/// What CUDA makes of the variable: entries are indices or beginnings of UUIDs, and the first invalid one ends the list.
fn filter(visible: &str, all: &[Device]) -> Vec<Device> {
    let mut gpus: Vec<Device> = Vec::new();
    for entry in visible.split(',').map(str::trim) {
        let found = match entry.parse::<u32>() {
            Ok(index) => all.iter().find(|device| device.index == index),
            Err(_) if entry.starts_with("GPU-") => all.iter().find(|device| device.uuid.starts_with(entry)),
            Err(_) => None,
        };
        match found {
            Some(device) if !gpus.contains(device) => gpus.push(device.clone()),
            _ => break,
        }
    }
    gpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_devices_are_read_as_cuda_does() {
        let device = |index, uuid: &str| Device { index, uuid: uuid.to_owned(), name: String::new(), memory: 0 };
        let all = [device(0, "GPU-aa11"), device(1, "GPU-bb22"), device(2, "GPU-cc33")];
        let seen = |text: &str| filter(text, &all).iter().map(|g| g.index).collect::<Vec<_>>();
        assert_eq!(seen("2,0"), [2, 0]);
        assert_eq!(seen("GPU-bb, 0"), [1, 0]);
        assert_eq!(seen("1,-1,0"), [1]);
        assert_eq!(seen(""), Vec::<u32>::new());
        assert_eq!(seen("7"), Vec::<u32>::new());
    }

    #[test]
    fn name_of_nothing_that_is_there_is_told_from_hiding_all() {
        let device = Device { index: 0, uuid: "GPU-aa11".to_owned(), name: String::new(), memory: 0 };
        let unknown = |visible: &str| {
            let inventory = Inventory::of(Box::new(Listed(vec![device.clone()])), Some(visible));
            inventory.unknown().map(str::to_owned)
        };
        assert_eq!(unknown("MIG-cc33,0").as_deref(), Some("MIG-cc33"));
        assert_eq!(unknown("7").as_deref(), Some("7"));
        assert_eq!([unknown(""), unknown("-1"), unknown("0"), unknown("0,MIG-cc33")], [None, None, None, None]);
        assert_eq!(Inventory::listed("MIG-cc33").unknown(), Some("MIG-cc33"));
        assert_eq!(Inventory::none().unknown(), None);
    }

    #[test]
    fn variable_is_the_list_where_the_driver_cannot_be_asked() {
        let inventory = Inventory::listed("3, 1");
        assert_eq!(inventory.gpus().iter().map(|g| g.index).collect::<Vec<_>>(), [3, 1]);
        assert!(inventory.readings().is_empty(), "nothing is known of them");
        assert!(Inventory::listed("-1").gpus().is_empty());
    }
}
