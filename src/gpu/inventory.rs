//! The GPUs that this process may use: NVML (loaded at run time) filtered by `CUDA_VISIBLE_DEVICES`. A machine without a
//! driver has none, and that is not an error.

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Index as the driver counts.
    pub index: u32,
    /// Name of the product; empty when NVML is not there.
    pub name: String,
    /// Memory in bytes; 0 when unknown.
    pub memory: u64,
}

/// How busy a GPU is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Index as the driver counts.
    pub index: u32,
    /// Share of time that a kernel ran, in percent.
    pub utilisation: u32,
    /// Memory in use, bytes.
    pub memory_used: u64,
    /// Memory, bytes.
    pub memory_total: u64,
    /// Power draw, watts.
    pub power: Option<f64>,
    /// Temperature, °C.
    pub temperature: Option<u32>,
}

/// The GPUs and the handle that watches them.
#[derive(Debug)]
pub struct Inventory {
    nvml: Option<Nvml>,
    gpus: Vec<Gpu>,
}

/// The GPUs of this machine that `CUDA_VISIBLE_DEVICES` leaves visible.
pub fn inventory() -> Inventory {
    let nvml = Nvml::init().ok();
    let all = nvml.as_ref().map(list).unwrap_or_default();
    let gpus = match std::env::var("CUDA_VISIBLE_DEVICES") {
        Ok(visible) => filter(&visible, &all),
        Err(_) => all.into_iter().map(|(gpu, _)| gpu).collect(),
    };
    Inventory { nvml, gpus }
}

impl Inventory {
    /// The GPUs, in the order of `CUDA_VISIBLE_DEVICES`.
    pub fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// How busy they are; empty without NVML.
    pub fn sample(&self) -> Vec<Sample> {
        let Some(nvml) = &self.nvml else { return Vec::new() };
        self.gpus
            .iter()
            .filter_map(|gpu| {
                let device = nvml.device_by_index(gpu.index).ok()?;
                let memory = device.memory_info().ok()?;
                Some(Sample {
                    index: gpu.index,
                    utilisation: device.utilization_rates().map_or(0, |u| u.gpu),
                    memory_used: memory.used,
                    memory_total: memory.total,
                    power: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1000.0),
                    temperature: device.temperature(TemperatureSensor::Gpu).ok(),
                })
            })
            .collect()
    }
}

fn list(nvml: &Nvml) -> Vec<(Gpu, String)> {
    (0..nvml.device_count().unwrap_or(0))
        .filter_map(|index| {
            let device = nvml.device_by_index(index).ok()?;
            let gpu = Gpu {
                index,
                name: device.name().unwrap_or_default(),
                memory: device.memory_info().map_or(0, |m| m.total),
            };
            Some((gpu, device.uuid().unwrap_or_default()))
        })
        .collect()
}

/// What CUDA makes of the variable: entries are indices or beginnings of UUIDs, and the first invalid one ends the list.
fn filter(visible: &str, all: &[(Gpu, String)]) -> Vec<Gpu> {
    let mut gpus: Vec<Gpu> = Vec::new();
    for entry in visible.split(',').map(str::trim) {
        let found = match entry.parse::<u32>() {
            Ok(index) => all.iter().find(|(gpu, _)| gpu.index == index),
            Err(_) if entry.starts_with("GPU-") => all.iter().find(|(_, uuid)| uuid.starts_with(entry)),
            Err(_) => None,
        };
        match found {
            Some((gpu, _)) if !gpus.contains(gpu) => gpus.push(gpu.clone()),
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
        let gpu = |index| Gpu { index, name: String::new(), memory: 0 };
        let all = [(gpu(0), "GPU-aa11".to_owned()), (gpu(1), "GPU-bb22".to_owned()), (gpu(2), "GPU-cc33".to_owned())];
        let seen = |text: &str| filter(text, &all).iter().map(|g| g.index).collect::<Vec<_>>();
        assert_eq!(seen("2,0"), [2, 0]);
        assert_eq!(seen("GPU-bb, 0"), [1, 0]);
        assert_eq!(seen("1,-1,0"), [1]);
        assert_eq!(seen(""), Vec::<u32>::new());
        assert_eq!(seen("7"), Vec::<u32>::new());
    }
}
