//! The processes of a training: rank 0 starts the others, or they were all started by `srun` or `torchrun`. When one of them
//! dies, the connections of the others break at once; rank 0 then finds out which one it was and how it ended.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::{Group, Store};
use crate::base::files::with_path;
use crate::base::process::host;
use crate::base::rank::Rank;
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::layout::JobDir;

/// How long the ranks wait for each other at the start: machines of a cluster do not begin at the same moment.
const MEETING: Duration = Duration::from_secs(600);
/// How often a rank shows that it lives.
const PULSE: Duration = Duration::from_millis(500);
/// How long rank 0 looks for the culprit, and waits for the others to end by themselves.
const PATIENCE: Duration = Duration::from_secs(3);

/// This process among those of its training.
#[derive(Debug)]
pub struct Team {
    rank: Rank,
    store: Arc<Store>,
    /// The ranks from 1 on, where this process started them.
    children: Vec<(usize, Child)>,
    /// Ends the pulse when it is dropped.
    _pulse: Sender<()>,
}

impl Team {
    /// Starts ranks 1 to `size` - 1 of the job in `dir` on this machine; this process is rank 0.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start(dir: &JobDir, size: usize, threads: usize) -> Result<Self, Failure> {
        let store = Store::open("127.0.0.1", 0, true, MEETING)?;
        let (address, port) = ("127.0.0.1".to_owned(), store.port());
        let mut team = Self::at(Rank { rank: 0, size, local: 0, local_size: size, address, port }, store)?;
        for rank in 1..size {
            let child = spawn(dir, &Rank { rank, local: rank, ..team.rank.clone() }, threads)?;
            team.children.push((rank, child));
        }
        Ok(team)
    }

    /// Joins a training whose processes were all started by somebody else.
    ///
    /// # Errors
    /// `Lost` when rank 0 is not there.
    pub fn join(rank: &Rank) -> Result<Self, Failure> {
        Self::at(rank.clone(), Store::open(&rank.address, rank.port, rank.leads(), MEETING)?)
    }

    fn at(rank: Rank, store: Store) -> Result<Self, Failure> {
        let store = Arc::new(store);
        let pulse = beat(&rank, Arc::clone(&store))?;
        Ok(Self { rank, store, children: Vec::new(), _pulse: pulse })
    }

    /// Connects all ranks.
    ///
    /// # Errors
    /// When one of them does not come, named.
    pub fn meet(&mut self) -> Result<Group, Failure> {
        let me = format!("pid {} on {}", std::process::id(), host());
        self.store.set(&format!("here/{}", self.rank.rank), &me)?;
        let since = Instant::now();
        while self.rank.leads() {
            let missing = self.others().find(|rank| !matches!(self.store.get(&format!("here/{rank}")), Ok(Some(_))));
            let Some(missing) = missing else { break };
            if let Some(failure) = self.culprit(true) {
                return Err(failure);
            }
            if since.elapsed() > MEETING {
                let text = format!("rank {missing} of {} did not come within {} s", self.rank.size, MEETING.as_secs());
                return Err(Failure::new(FailureKind::Lost, text));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Group::open(&self.store, &self.rank)
    }

    /// What to tell of a failure of this process: where another rank's end was the cause, that one's.
    pub fn verdict(&mut self, own: Failure) -> Failure {
        if !is_echo(&own) || !self.rank.leads() {
            return own;
        }
        let (since, before) = (Instant::now(), self.pulses());
        while since.elapsed() < PATIENCE {
            if let Some(failure) = self.culprit(false) {
                return failure;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(failure) = self.culprit(true) {
            return failure;
        }
        let silent = self.others().zip(before.iter().zip(self.pulses())).find(|(_, (then, now))| **then == *now);
        match silent {
            Some((rank, _)) => {
                let text = format!("{} is gone without a word", self.named(rank));
                Failure::new(FailureKind::Lost, text)
            }
            None => own,
        }
    }

    /// Lets rank 0 know why this rank ends, unless it only saw others go.
    pub fn report(&self, failure: &Failure) {
        if !is_echo(failure)
            && let Ok(text) = serde_json::to_string(failure)
        {
            // Where rank 0 is gone, nobody needs to know.
            let _ = self.store.set(&format!("failed/{}", self.rank.rank), &text);
        }
    }

    /// The rank that failed first, as far as that is known. `any` also takes one whose end may be an echo of another's.
    fn culprit(&mut self, any: bool) -> Option<Failure> {
        for rank in self.others() {
            if let Ok(Some(text)) = self.store.get(&format!("failed/{rank}"))
                && let Ok(failure) = serde_json::from_str::<Failure>(&text)
            {
                return Some(Failure::new(failure.kind, format!("{}: {}", self.named(rank), failure.message)));
            }
        }
        let mut ended = Vec::new();
        for (rank, child) in &mut self.children {
            if let Ok(Some(status)) = child.try_wait() {
                ended.push((*rank, child.id(), status));
            }
        }
        for (rank, pid, status) in ended {
            if let Some(signal) = status.signal() {
                let name = signal_hook::low_level::signal_name(signal).map_or_else(String::new, |n| format!(" ({n})"));
                let text = format!("rank {rank} (pid {pid}) was killed by signal {signal}{name}");
                return Some(Failure::new(FailureKind::Killed, text));
            }
            if any {
                let code = status.code().unwrap_or_default();
                let text = format!("rank {rank} (pid {pid}) ended with exit code {code}");
                return Some(Failure::new(FailureKind::Lost, text));
            }
        }
        None
    }

    fn others(&self) -> std::ops::Range<usize> {
        1..self.rank.size
    }

    fn named(&self, rank: usize) -> String {
        match self.store.get(&format!("here/{rank}")) {
            Ok(Some(who)) => format!("rank {rank} ({who})"),
            _ => format!("rank {rank}"),
        }
    }

    fn pulses(&self) -> Vec<Option<String>> {
        self.others().map(|rank| self.store.get(&format!("pulse/{rank}")).ok().flatten()).collect()
    }
}

impl Drop for Team {
    /// Waits a moment for the ranks that this process started and ends those that stay.
    fn drop(&mut self) {
        let since = Instant::now();
        for (_, child) in &mut self.children {
            while since.elapsed() < PATIENCE && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a rank of this machine; it dies with this process.
fn spawn(dir: &JobDir, rank: &Rank, threads: usize) -> io::Result<Child> {
    let own = dir.rank(rank.rank);
    std::fs::create_dir_all(own.path()).map_err(with_path(own.path()))?;
    let console = own.console();
    let out = OpenOptions::new().create(true).append(true).open(&console).map_err(with_path(&console))?;
    let program = std::env::current_exe()?;
    let mut command = Command::new(&program);
    command
        .arg("job")
        .arg(dir.path())
        .envs(rank.variables())
        .env("OMP_NUM_THREADS", threads.to_string())
        .env("MKL_NUM_THREADS", threads.to_string())
        // The worker's own standard input is the lock that says it lives.
        .stdin(Stdio::null())
        .stderr(Stdio::from(out.try_clone()?))
        .stdout(Stdio::from(out));
    // SAFETY: the closure makes one system call between fork and exec and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?));
    }
    command.spawn().map_err(with_path(&program))
}

/// Shows in the store that this rank lives, until the sender is dropped.
fn beat(rank: &Rank, store: Arc<Store>) -> io::Result<Sender<()>> {
    let (end, ended) = channel::<()>();
    let key = format!("pulse/{}", rank.rank);
    let work = move || {
        let mut count = 0u64;
        loop {
            count += 1;
            // Rank 0 is gone: the connections of the main thread break as well.
            if store.set(&key, &count.to_string()).is_err() {
                return;
            }
            if ended.recv_timeout(PULSE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("pulse".to_owned()).spawn(work)?;
    Ok(end)
}

/// Whether a failure only says that the connection to another rank broke.
fn is_echo(failure: &Failure) -> bool {
    let words = ["between the ranks", "gloo", "Connection closed by peer", "Connection reset by peer"];
    matches!(failure.kind, FailureKind::Lost | FailureKind::Unknown)
        && words.iter().any(|word| failure.message.contains(word))
}
