//! The place of a process among those of one training, as whoever started it says: torchrun's variables, or SLURM's of a
//! step (`srun`).

/// One process of several that train one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Its number, from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// Its number among those of its machine: which GPU it takes.
    pub local: usize,
    /// How many there are on its machine.
    pub local_size: usize,
    /// The machine of rank 0.
    pub address: String,
    /// The port at which rank 0 is met.
    pub port: u16,
}

/// torchrun's port when nobody says another.
const PORT: u16 = 29500;

impl Rank {
    /// What the environment says; `None` in a process that is alone.
    ///
    /// # Errors
    /// A sentence, when the variables contradict each other.
    pub fn of_environment() -> Result<Option<Self>, String> {
        Self::of(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
    }

    /// The variables that say it, for a process that is started.
    pub fn variables(&self) -> [(&'static str, String); 6] {
        [
            ("RANK", self.rank.to_string()),
            ("WORLD_SIZE", self.size.to_string()),
            ("LOCAL_RANK", self.local.to_string()),
            ("LOCAL_WORLD_SIZE", self.local_size.to_string()),
            ("MASTER_ADDR", self.address.clone()),
            ("MASTER_PORT", self.port.to_string()),
        ]
    }

    /// Whether it leads: keeps the journal and writes checkpoints.
    pub fn leads(&self) -> bool {
        self.rank == 0
    }

    /// Whether all of them are on one machine.
    pub fn is_local(&self) -> bool {
        self.local_size == self.size
    }

    fn of(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let number = |name: &str| -> Result<Option<usize>, String> {
            let Some(text) = get(name) else { return Ok(None) };
            text.parse().map(Some).map_err(|_| format!("{name} is {text:?}, expected a number"))
        };
        let (rank, size, slurm) = match (number("RANK")?, number("WORLD_SIZE")?) {
            (Some(rank), Some(size)) => (rank, size, false),
            _ => match (number("SLURM_PROCID")?, number("SLURM_STEP_NUM_TASKS")?) {
                (Some(rank), Some(size)) => (rank, size, true),
                _ => return Ok(None),
            },
        };
        if size <= 1 {
            return Ok(None);
        }
        if rank >= size {
            return Err(format!("rank {rank} of {size} processes: ranks count from 0"));
        }
        let (local, local_size) = if slurm {
            let own = get("SLURM_STEP_TASKS_PER_NODE").and_then(|text| tasks_of_all(&text));
            (number("SLURM_LOCALID")?, own)
        } else {
            (number("LOCAL_RANK")?, number("LOCAL_WORLD_SIZE")?)
        };
        let nodes = number("SLURM_STEP_NUM_NODES")?.filter(|_| slurm);
        let address = get("MASTER_ADDR")
            .or_else(|| get("SLURM_STEP_NODELIST").filter(|_| slurm).map(|list| first_host(&list)))
            .unwrap_or_else(|| "127.0.0.1".to_owned());
        // Jobs that share a machine must not share a port.
        let job = number("SLURM_JOB_ID")?.filter(|_| slurm);
        let port = match number("MASTER_PORT")? {
            Some(port) => u16::try_from(port).map_err(|_| format!("MASTER_PORT is {port}: not a port"))?,
            None => job.map_or(PORT, |id| 20_000 + (id % 20_000) as u16),
        };
        let local_size = local_size.unwrap_or(if nodes == Some(1) { size } else { 1 }).clamp(1, size);
        Ok(Some(Self { rank, size, local: local.unwrap_or(rank % local_size), local_size, address, port }))
    }
}

/// The largest count of `4(x2),3`: SLURM fills nodes evenly, the last one with what is left.
fn tasks_of_all(text: &str) -> Option<usize> {
    text.split(',').filter_map(|part| part.split('(').next()?.trim().parse().ok()).max()
}

/// The first host of a list as SLURM writes it: `gpu[03-05,9],login` is `gpu03`.
fn first_host(list: &str) -> String {
    let first = match list.find([',', '[']) {
        Some(at) if list[at..].starts_with('[') => {
            let inside = &list[at + 1..];
            let number = inside.split([',', '-', ']']).next().unwrap_or_default();
            let rest = inside.split_once(']').map_or("", |(_, rest)| rest.split(',').next().unwrap_or_default());
            return format!("{}{number}{rest}", &list[..at]);
        }
        Some(at) => &list[..at],
        None => list,
    };
    first.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<Rank>, String> {
        Rank::of(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn a_process_that_is_alone_has_no_rank() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("RANK", "0"), ("WORLD_SIZE", "1")]), Ok(None));
        // A batch script, and a step of one task, which other work may run in.
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")]), Ok(None));
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")]), Ok(None));
    }

    #[test]
    fn torchruns_variables_are_read_back_as_they_are_given() {
        let rank = Rank { rank: 5, size: 8, local: 1, local_size: 4, address: "gpu01".to_owned(), port: 2_000 };
        let variables = rank.variables();
        let variables: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
        assert_eq!(of(&variables), Ok(Some(rank)));
        assert!(of(&[("RANK", "2"), ("WORLD_SIZE", "2")]).is_err());
        assert!(of(&[("RANK", "x"), ("WORLD_SIZE", "2")]).unwrap_err().contains("RANK"));
    }

    #[test]
    fn tasks_of_a_slurm_step_meet_on_its_first_node() {
        let rank = of(&[
            ("SLURM_PROCID", "3"),
            ("SLURM_STEP_NUM_TASKS", "4"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_STEP_TASKS_PER_NODE", "2(x2)"),
            ("SLURM_STEP_NODELIST", "gpu[03-04],x"),
            ("SLURM_JOB_ID", "40017"),
        ]);
        let expected = Rank { rank: 3, size: 4, local: 1, local_size: 2, address: "gpu03".to_owned(), port: 20_017 };
        assert_eq!(rank, Ok(Some(expected)));
        assert_eq!(["a", "a,b", "n[7,9]-ib,z"].map(first_host), ["a", "a", "n7-ib"]);
    }
}
