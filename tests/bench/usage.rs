//! What this process or thread has used, and where it may run.

use std::{fs, time::Duration};

use anyhow::Context;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeVal,
    },
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

/// Processor time of this process so far, user and system.
pub(crate) fn process_cpu() -> anyhow::Result<Duration> {
    cpu(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// Processor time of this thread so far.
pub(crate) fn thread_cpu() -> anyhow::Result<Duration> {
    cpu(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// Processor time of processes that this one started and that have ended.
pub(crate) fn children_cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |value: TimeVal| {
        let seconds = u64::try_from(value.tv_sec()).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(value.tv_usec()).unwrap_or(0))
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// Memory of this process that is in RAM now, in bytes.
pub(crate) fn resident() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("this needs Linux's /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: u64 = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse().ok())
        .context("/proc/self/status tells no VmRSS")?;
    Ok(kilobytes << 10)
}

/// Processor time of another process so far, to a hundredth of a second.
pub(crate) fn cpu_of(process: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may contain anything; user and system time are the 14th and 15th field.
    let after = stat.rsplit_once(')').context("a process has a name")?.1;
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse().unwrap_or(0))
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// Keeps this thread, and all that it starts from now on, on one core. On a machine with fewer cores it shares the last.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core.min(cores_here()?.saturating_sub(1)))?;
    sched_setaffinity(Pid::from_raw(0), &cores).context("the system does not let a process be pinned to a core")
}

fn cores_here() -> anyhow::Result<usize> {
    Ok(std::thread::available_parallelism()?.get())
}

/// To the nanosecond, where getrusage may count in ticks of 4 ms.
fn cpu(clock: ClockId) -> anyhow::Result<Duration> {
    Ok(clock_gettime(clock)?.into())
}
