//! A runtime on threads of its own: what runs on it can be killed as a process is killed, without its consent.

use std::{io, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

/// Stands in for a process. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Island {
    runtime: Option<Runtime>,
}

impl Island {
    /// An island with this many threads.
    pub(crate) fn new(name: &str, threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Starts a task on it.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime
            .as_ref()
            .expect("there is a runtime until it is killed")
            .spawn(future)
    }

    /// Drops every task wherever it stands. When this returns, the tasks' sockets and files are closed.
    pub(crate) async fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for threads to end blocks; a runtime may not be dropped where others must go on.
            let _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(LONGEST)).await;
        }
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A task ends at its next await; this is for one that computes.
const LONGEST: Duration = Duration::from_secs(10);
