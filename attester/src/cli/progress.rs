//! Something moves on the terminal while a command takes longer than two seconds: on standard error, and only there.

use std::{thread, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{
    runtime::Runtime,
    sync::{oneshot, watch},
    task::yield_now,
    time::timeout,
};

use crate::run::Starting;

/// Waits for `work`, and says what for when it takes long.
pub(super) async fn patiently<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    wait(what, work, ProgressDrawTarget::stderr).await
}

/// The same for work that holds its thread up.
pub(super) fn patiently_blocking<T: Send>(runtime: &Runtime, what: &'static str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let (working, ended) = oneshot::channel::<()>();
        let work = scope.spawn(move || {
            let _working = working;
            work()
        });
        // That the other end is gone is the news.
        let _ = runtime.block_on(patiently(what, ended));
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Waits for `work`, which counts its steps, and shows how many of them are done when it takes long.
pub(super) async fn counted<T>(what: &'static str, steps: usize, work: impl AsyncFnOnce(&Steps) -> T) -> T {
    count(what, steps, work, ProgressDrawTarget::stderr).await
}

/// Shows how far a start is, until the sender is dropped.
pub(super) async fn of_a_start(starting: watch::Receiver<Starting>) {
    follow(starting, ProgressDrawTarget::stderr).await;
}

/// The steps of something long.
pub(super) struct Steps(ProgressBar);

impl Steps {
    /// One more is done. It lets go of the thread, or work that never waits would keep the time from passing.
    pub(super) async fn one_done(&self) {
        self.0.inc(1);
        yield_now().await;
    }
}

async fn wait<T>(what: &'static str, work: impl Future<Output = T>, target: impl FnOnce() -> ProgressDrawTarget) -> T {
    let bar = hidden(ProgressStyle::default_spinner()).with_message(what);
    show_if_long(&bar, work, target).await
}

async fn count<T>(
    what: &'static str,
    steps: usize,
    work: impl AsyncFnOnce(&Steps) -> T,
    target: impl FnOnce() -> ProgressDrawTarget,
) -> T {
    let bar = hidden(counting()).with_message(what);
    bar.set_length(steps as u64);
    let steps = Steps(bar.clone());
    show_if_long(&bar, work(&steps), target).await
}

async fn follow(mut starting: watch::Receiver<Starting>, target: impl FnOnce() -> ProgressDrawTarget) {
    let bar = hidden(ProgressStyle::default_spinner());
    let until_it_has_started = async {
        loop {
            match *starting.borrow_and_update() {
                Starting::Opening => bar.set_message("opening the state file"),
                Starting::Restoring { done, of } => {
                    if bar.length().is_none() {
                        bar.set_style(counting());
                        bar.set_message("verifying stored evidence again");
                    }
                    bar.set_length(of as u64);
                    bar.set_position(done as u64);
                }
            }
            if starting.changed().await.is_err() {
                break;
            }
        }
    };
    show_if_long(&bar, until_it_has_started, target).await;
}

/// Puts the bar on the terminal when `work` has taken long, and takes it off when it is done.
async fn show_if_long<T>(
    bar: &ProgressBar,
    work: impl Future<Output = T>,
    target: impl FnOnce() -> ProgressDrawTarget,
) -> T {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = timeout(PATIENCE, work.as_mut()).await {
        return done;
    }
    bar.set_draw_target(target());
    bar.tick();
    bar.enable_steady_tick(TURN);
    let done = work.await;
    bar.finish_and_clear();
    done
}

/// A bar that is not shown yet.
fn hidden(style: ProgressStyle) -> ProgressBar {
    ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style)
}

fn counting() -> ProgressStyle {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}, {eta} left");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// What ends sooner needs no sign of life.
const PATIENCE: Duration = Duration::from_secs(2);
const TURN: Duration = Duration::from_millis(120);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
        task::{Context, Waker},
    };

    use indicatif::TermLike;

    use super::*;

    /// Notes what is written.
    #[derive(Clone, Debug, Default)]
    struct Terminal(Arc<Mutex<String>>);

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A terminal, and what puts a bar on it.
    fn terminal() -> (Terminal, impl FnOnce() -> ProgressDrawTarget) {
        let terminal = Terminal::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 20);
        (terminal, || target)
    }

    impl Terminal {
        fn text(&self) -> String {
            self.0.lock().unwrap().clone()
        }
    }

    const SHORT: Duration = Duration::from_millis(1900);
    const LONG: Duration = Duration::from_secs(8);

    async fn start(takes: Duration) -> String {
        let (terminal, target) = terminal();
        let (sender, starting) = watch::channel(Starting::default());
        let showing = tokio::spawn(follow(starting, target));
        for step in 0..4 {
            sender.send_replace(Starting::Restoring {
                done: step * 250,
                of: 1000,
            });
            tokio::time::sleep(takes / 4).await;
        }
        drop(sender);
        showing.await.unwrap();
        terminal.text()
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_start_is_shown_and_a_short_one_is_not() {
        let long = start(LONG).await;
        assert!(
            long.contains("verifying stored evidence again") && long.contains("/1000"),
            "{long:?}"
        );
        assert_eq!(start(SHORT).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_opening_is_shown() {
        let (terminal, target) = terminal();
        let (sender, starting) = watch::channel(Starting::default());
        let showing = tokio::spawn(follow(starting, target));
        tokio::time::sleep(LONG).await;
        drop(sender);
        showing.await.unwrap();
        let shown = terminal.text();
        assert!(
            shown.contains("opening the state file") && !shown.contains("0/0"),
            "{shown:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_is_shown_and_a_short_one_is_not() {
        for takes in [SHORT, LONG] {
            let (terminal, target) = terminal();
            let work = async {
                tokio::time::sleep(takes).await;
                7
            };
            assert_eq!(wait("reading the state file", work, target).await, 7);
            let shown = terminal.text();
            assert_eq!(shown.contains("reading the state file"), takes == LONG, "{shown:?}");
            assert_eq!(shown.is_empty(), takes == SHORT, "{shown:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn long_work_shows_its_steps_and_short_work_does_not() {
        for takes in [SHORT, LONG] {
            let (terminal, target) = terminal();
            let work = async |steps: &Steps| {
                for _ in 0..40 {
                    tokio::time::sleep(takes / 40).await;
                    steps.one_done().await;
                }
                7
            };
            assert_eq!(count("checking", 40, work, target).await, 7);
            let shown = terminal.text();
            assert_eq!(
                shown.contains("checking") && shown.contains("/40, "),
                takes == LONG,
                "{shown:?}"
            );
            assert_eq!(shown.is_empty(), takes == SHORT, "{shown:?}");
        }
    }

    /// Checking files never waits for anybody: it must let go by itself, for the time to pass and the bar to be shown.
    #[tokio::test]
    async fn a_step_lets_go_of_the_thread() {
        let steps = Steps(ProgressBar::hidden());
        let mut step = std::pin::pin!(steps.one_done());
        let mut context = Context::from_waker(Waker::noop());
        assert!(step.as_mut().poll(&mut context).is_pending());
        assert!(step.as_mut().poll(&mut context).is_ready());
    }
}
