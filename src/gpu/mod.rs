//! Floor 3: which GPUs there are, how busy they are, and how trials share them or the CPU.

pub mod driver;
pub mod inventory;
pub mod pin;
pub mod slots;
pub mod watch;

pub use inventory::{Gpu, Inventory, inventory};
pub use slots::{SlotPlan, plan};
pub use watch::Watch;
