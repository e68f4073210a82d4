//! NVIDIA's driver behind a trait: NVML, loaded at run time, or readings that were recorded.

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::enums::device::UsedGpuMemory;
use serde::{Deserialize, Serialize};

pub use crate::journal::event::GpuSample;

/// A GPU as the driver lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Index as the driver counts.
    pub index: u32,
    /// Its identity, `GPU-…`.
    pub uuid: String,
    /// Name of the product.
    pub name: String,
    /// Memory in bytes.
    pub memory: u64,
}

/// A process that computes on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuProcess {
    /// Its pid, of the namespace that the driver lives in.
    pub pid: u32,
    /// Memory it holds on the GPU, bytes; 0 when the driver does not tell.
    pub memory: u64,
}

/// A GPU at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// How busy it is.
    pub sample: GpuSample,
    /// Who computes on it.
    pub processes: Vec<GpuProcess>,
}

/// What is asked of a driver.
pub trait Driver: std::fmt::Debug {
    /// Every GPU of the machine.
    fn devices(&self) -> Vec<Device>;
    /// A GPU now; `None` when it does not answer.
    fn reading(&self, index: u32) -> Option<Reading>;
}

impl Driver for Nvml {
    fn devices(&self) -> Vec<Device> {
        (0..self.device_count().unwrap_or(0))
            .filter_map(|index| {
                let device = self.device_by_index(index).ok()?;
                Some(Device {
                    index,
                    uuid: device.uuid().unwrap_or_default(),
                    name: device.name().unwrap_or_default(),
                    memory: device.memory_info().map_or(0, |m| m.total),
                })
            })
            .collect()
    }

    fn reading(&self, index: u32) -> Option<Reading> {
        let device = self.device_by_index(index).ok()?;
        let memory = device.memory_info().ok()?;
        let processes = device.running_compute_processes().unwrap_or_default();
        Some(Reading {
            sample: GpuSample {
                index,
                utilisation: device.utilization_rates().map_or(0, |u| u.gpu),
                memory_used: memory.used,
                memory_total: memory.total,
                power: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1000.0),
                temperature: device.temperature(TemperatureSensor::Gpu).ok(),
            },
            processes: processes
                .into_iter()
                .map(|process| GpuProcess {
                    pid: process.pid,
                    memory: match process.used_gpu_memory {
                        UsedGpuMemory::Used(bytes) => bytes,
                        UsedGpuMemory::Unavailable => 0,
                    },
                })
                .collect(),
        })
    }
}
