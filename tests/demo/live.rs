//! A table that updates in a terminal. What is said stays above it.

use std::{io, time::Duration};

use console::{Style, Term, truncate_str};

use crate::{
    script::Step,
    stage::Stage,
    table,
    view::{guide, seconds},
};

/// The terminal. Dropped, it has its cursor back.
pub(crate) struct Live {
    term: Term,
    colour: bool,
    /// Lines of the table as it was last drawn, above the cursor.
    drawn: usize,
    heading: String,
}

impl Live {
    /// A terminal, if standard output is one with room for the table.
    pub(crate) fn new() -> Option<Self> {
        let term = Term::buffered_stdout();
        let (rows, columns) = term.size_checked()?;
        let room = usize::from(rows) >= LEAST_ROWS && usize::from(columns) >= LEAST_COLUMNS;
        if !room || console::is_dumb() {
            return None;
        }
        // See <https://no-color.org>: set and not empty means none.
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Some(Self {
            term,
            colour,
            drawn: 0,
            heading: String::new(),
        })
    }

    /// Prints something that stays.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.erase()?;
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        self.term.write_line(&self.painted(&Style::new().bold(), first))?;
        self.term.write_str(rest)?;
        self.term.flush()
    }

    /// A step begins.
    pub(crate) fn begin(&mut self, stage: &Stage, step: Step) -> io::Result<()> {
        self.heading = format!("{}. {}", step.number(), step.title(stage));
        self.term.hide_cursor()
    }

    /// Draws the table anew.
    pub(crate) fn show(&mut self, stage: &Stage, waiting: usize) -> io::Result<()> {
        let (rows, columns) = self.term.size();
        let width = usize::from(columns).saturating_sub(1);
        let waits = if waiting == 0 {
            String::new()
        } else {
            format!(", {waiting} to go")
        };
        let status = format!("{}{waits}  {}", seconds(stage.elapsed()).trim_start(), self.heading);
        let mut lines = table::lines(stage, width);
        lines.push((Style::new().bold(), status));
        lines.truncate(usize::from(rows).saturating_sub(1));
        self.erase()?;
        for (style, line) in &lines {
            self.term
                .write_line(&self.painted(style, &truncate_str(line, width, "…")))?;
        }
        self.drawn = lines.len();
        self.term.flush()
    }

    /// A step is over.
    pub(crate) fn end(&mut self, took: Duration, ok: bool) -> io::Result<()> {
        self.erase()?;
        let (mark, style) = if ok {
            ("✓", Style::new().green())
        } else {
            ("✗", Style::new().red())
        };
        let line = format!("{mark} {} ({:.1} s)", self.heading, took.as_secs_f64());
        self.term.write_line(&self.painted(&style, &line))?;
        self.term.flush()
    }

    /// The last table, which stays, and the last words.
    pub(crate) fn close(&mut self, stage: &Stage, closing: &str, commands: &[String]) -> io::Result<()> {
        self.erase()?;
        let width = usize::from(self.term.size().1).saturating_sub(1);
        self.term.write_line("")?;
        for (style, line) in table::lines(stage, width) {
            self.term
                .write_line(&self.painted(&style, &truncate_str(&line, width, "…")))?;
        }
        self.term.write_line("")?;
        self.term.write_line(&self.painted(&Style::new().bold(), closing))?;
        self.term.write_str(&guide(commands))?;
        self.term.show_cursor()?;
        self.term.flush()
    }

    /// Takes the table away.
    fn erase(&mut self) -> io::Result<()> {
        if self.drawn > 0 {
            self.term.move_cursor_up(self.drawn)?;
            self.term.clear_to_end_of_screen()?;
            self.drawn = 0;
        }
        Ok(())
    }

    fn painted(&self, style: &Style, text: &str) -> String {
        style.clone().force_styling(self.colour).apply_to(text).to_string()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A terminal that has gone needs no cursor.
        let _ = self.term.show_cursor().and_then(|()| self.term.flush());
    }
}

/// The table, the status line and the cursor's own.
const LEAST_ROWS: usize = table::height(18) + 2;
/// What the narrow table needs to be read.
const LEAST_COLUMNS: usize = 80;
