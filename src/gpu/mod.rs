//! Floor 3: which GPUs there are, how busy they are, and how trials share them or the CPU.

pub mod inventory;
pub mod slots;

pub use inventory::{Gpu, Inventory, Sample, inventory};
pub use slots::{SlotPlan, plan};
