//! How far a long run is, on standard error, if that is a terminal.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A run that ends within this shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);
/// Packets between two looks at the clock.
const EVERY: u64 = 256;

/// How far it is.
pub(super) struct Progress {
    began: Instant,
    packets: u64,
    bar: Option<ProgressBar>,
    wanted: bool,
}

impl Progress {
    /// Shows nothing yet; never anything where nobody looks.
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), packets: 0, bar: None, wanted: io::stderr().is_terminal() }
    }

    /// A packet ran. `read` are the bytes of all captures that were read, and how many there are.
    pub(super) fn packet(&mut self, read: impl FnOnce() -> (u64, Option<u64>)) {
        self.packets += 1;
        if !self.wanted || !self.packets.is_multiple_of(EVERY) || self.began.elapsed() < PATIENCE {
            return;
        }
        let (done, all) = read();
        let bar = self.bar.get_or_insert_with(|| bar(all, ProgressDrawTarget::stderr()));
        bar.set_position(done);
        bar.set_message(format!("{} packets", self.packets));
    }

    /// Takes it away.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(all: Option<u64>, target: ProgressDrawTarget) -> ProgressBar {
    let template = match all {
        Some(_) => "{bar:40} {percent:>3} %, {msg}, {eta} left",
        None => "{spinner} {bytes}, {msg}",
    };
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::with_draw_target(all, target);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, TermLike};

    use super::*;

    #[test]
    fn a_bar_tells_how_far_it_is() {
        let terminal = InMemoryTerm::new(5, 80);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bar = bar(Some(200), target);
        bar.set_message("7 packets");
        bar.set_position(50);
        bar.force_draw();
        assert!(terminal.contents().contains(" 25 %, 7 packets"), "{}", terminal.contents());
        bar.finish_and_clear();
        assert_eq!(terminal.contents(), "");
        assert_eq!(terminal.width(), 80);
    }

    #[test]
    fn where_nobody_looks_nothing_is_shown() {
        let mut progress = Progress { wanted: false, ..Progress::new() };
        progress.began -= Duration::from_secs(9);
        for _ in 0..EVERY {
            progress.packet(|| panic!("nobody wants to know"));
        }
        assert!(progress.bar.is_none());
        progress.wanted = true;
        for _ in 0..EVERY {
            progress.packet(|| (1, Some(2)));
        }
        assert!(progress.bar.is_some());
        progress.finish();
    }
}
