//! The GPUs an engine is built for, by compute capability.

use std::path::Path;

#[cfg(not(feature = "tensorrt-enterprise"))]
use trtx::ComputeCapability;

use super::library;

/// Where the driver lists the GPUs of this machine.
const DRIVER: &str = "/proc/driver/nvidia/gpus";

/// Whether this machine has an NVIDIA GPU.
pub fn has_gpu() -> bool {
    Path::new(DRIVER).read_dir().is_ok_and(|mut gpus| gpus.next().is_some())
}

/// A compute capability that the builder can target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Turing, 7.5. No other target can be in the same engine.
    Sm75,
    /// Ampere, 8.0.
    Sm80,
    /// Ampere, 8.6.
    Sm86,
    /// Ada, 8.9.
    Sm89,
    /// Blackwell, 12.0.
    Sm120,
    /// Blackwell, 12.1.
    Sm121,
}

impl Target {
    /// Every target, oldest first.
    pub const ALL: [Self; 6] = [Self::Sm75, Self::Sm80, Self::Sm86, Self::Sm89, Self::Sm120, Self::Sm121];

    /// What one engine can hold together; TensorRT without RTX builds for the present GPU alone.
    pub const TOGETHER: &'static [Self] = if cfg!(feature = "tensorrt-enterprise") {
        &[]
    } else {
        &[Self::Sm80, Self::Sm86, Self::Sm89, Self::Sm120, Self::Sm121]
    };

    /// Its name, such as `8.6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sm75 => "7.5",
            Self::Sm80 => "8.0",
            Self::Sm86 => "8.6",
            Self::Sm89 => "8.9",
            Self::Sm120 => "12.0",
            Self::Sm121 => "12.1",
        }
    }

    /// The target called `name`, or else a message that lists what there is.
    ///
    /// # Errors
    /// When no target is called so, or none can be chosen.
    pub fn from_name(name: &str) -> Result<Self, String> {
        if cfg!(feature = "tensorrt-enterprise") {
            let why = "builds for the GPU of the machine it runs on: leave the list empty, or use a program with TensorRT-RTX";
            return Err(format!("{} {why}", library::NAME));
        }
        Self::ALL.into_iter().find(|t| t.name() == name.trim()).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|t| t.name()).collect();
            format!("TensorRT-RTX cannot build for compute capability {name}; it can for {}", names.join(", "))
        })
    }

    #[cfg(not(feature = "tensorrt-enterprise"))]
    pub(super) fn capability(self) -> ComputeCapability {
        match self {
            Self::Sm75 => ComputeCapability::kSM75,
            Self::Sm80 => ComputeCapability::kSM80,
            Self::Sm86 => ComputeCapability::kSM86,
            Self::Sm89 => ComputeCapability::kSM89,
            Self::Sm120 => ComputeCapability::kSM120,
            Self::Sm121 => ComputeCapability::kSM121,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "tensorrt-enterprise"))]
    #[test]
    fn from_name_unknown_capability_lists_the_known() {
        assert_eq!(Target::from_name("8.6"), Ok(Target::Sm86));
        let message = Target::from_name("9.0").unwrap_err();
        assert!(message.contains("9.0") && message.contains("12.1"), "{message}");
    }
}
