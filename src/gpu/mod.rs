//! Floor 3: the devices of this machine.
