//! Something moves on the terminal while a command takes longer than two seconds: on standard error, and only there.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{sync::watch, time::timeout};

use crate::run::Starting;

/// Waits for `work`, and says what for when it takes long.
pub(super) async fn patiently<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = timeout(PATIENCE, work.as_mut()).await {
        return done;
    }
    let bar = ProgressBar::new_spinner().with_message(what);
    bar.enable_steady_tick(TURN);
    let done = work.await;
    bar.finish_and_clear();
    done
}

/// Shows how far a start is, until the sender is dropped.
pub(super) async fn of_a_start(starting: watch::Receiver<Starting>) {
    show(starting, ProgressDrawTarget::stderr).await;
}

async fn show(mut starting: watch::Receiver<Starting>, target: impl FnOnce() -> ProgressDrawTarget) {
    let ended = async { while starting.changed().await.is_ok() {} };
    if timeout(PATIENCE, ended).await.is_ok() {
        return;
    }
    let bar = ProgressBar::with_draw_target(None, target());
    bar.enable_steady_tick(TURN);
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
    bar.finish_and_clear();
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

    async fn shown(takes: Duration) -> String {
        let terminal = Terminal::default();
        let (sender, starting) = watch::channel(Starting::default());
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 20);
        let showing = tokio::spawn(show(starting, || target));
        for step in 0..4 {
            sender.send_replace(Starting::Restoring {
                done: step * 250,
                of: 1000,
            });
            tokio::time::sleep(takes / 4).await;
        }
        drop(sender);
        showing.await.unwrap();
        let text = terminal.0.lock().unwrap();
        text.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_start_is_shown_and_a_short_one_is_not() {
        let long = shown(Duration::from_secs(8)).await;
        assert!(
            long.contains("verifying stored evidence again") && long.contains("/1000"),
            "{long:?}"
        );
        assert_eq!(shown(Duration::from_millis(1900)).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_changes_nothing() {
        for seconds in [1, 5] {
            let work = async {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                seconds
            };
            assert_eq!(patiently("waiting", work).await, seconds);
        }
    }
}
