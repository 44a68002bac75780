//! Printing: colours, tables, JSON. Everything that a command prints on standard output passes here.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Colours or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    /// No colours.
    pub(crate) fn plain() -> Self {
        Self { colour: false }
    }

    /// No colours?
    pub(crate) fn is_plain(self) -> bool {
        !self.colour
    }

    /// For a stream: colours on a terminal, unless the environment says no (<https://no-color.org>).
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        Self { colour: wanted && stream.is_terminal() }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A heading.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What counts less.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// What failed.
    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// What went well.
    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What wants care.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// What to do next.
    pub(crate) fn cyan(self, text: &str) -> String {
        self.paint("1;36", text)
    }
}

/// Prints `value` as JSON, followed by a newline.
pub(crate) fn json(
    out: &mut impl Write,
    value: &impl Serialize,
) -> Result<(), crate::error::Failure> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

/// Prints warnings on standard error.
pub(crate) fn warn(warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    let stderr = io::stderr();
    let style = Style::of(&stderr);
    let mut out = stderr.lock();
    for warning in warnings {
        // Where standard error is closed, there is nobody to tell.
        let _ = writeln!(out, "{}: {warning}", style.yellow("warning"));
    }
}

/// Tells on standard error what is worth knowing and no warning.
pub(crate) fn note(text: &str) {
    // Where standard error is closed, there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "note: {text}");
}

/// Which way a column leans.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table with aligned columns, two spaces apart.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Without rows?
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints heading and rows behind `indent`.
    pub(crate) fn print(&self, out: &mut impl Write, style: Style, indent: &str) -> io::Result<()> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let heading = visible(self.columns[column].0);
            cells.map(|cell| visible(cell)).chain([heading]).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let line = |cells: Vec<&str>| {
            let mut line = indent.to_owned();
            for ((cell, (_, align)), width) in cells.iter().zip(&self.columns).zip(&widths) {
                let gap = " ".repeat(width - visible(cell).min(*width));
                match align {
                    Align::Left => line.extend([cell, gap.as_str(), "  "]),
                    Align::Right => line.extend([gap.as_str(), cell, "  "]),
                }
            }
            line.trim_end().to_owned()
        };
        let heading = line(self.columns.iter().map(|(name, _)| *name).collect());
        writeln!(out, "{}", style.dim(&heading))?;
        for row in &self.rows {
            writeln!(out, "{}", line(row.iter().map(String::as_str).collect()))?;
        }
        Ok(())
    }
}

/// Characters that take room: all but colours.
fn visible(text: &str) -> usize {
    let mut in_colour = false;
    let takes_room = |c: &char| {
        let was = in_colour;
        in_colour = if was { *c != 'm' } else { *c == '\x1b' };
        !was && !in_colour
    };
    text.chars().filter(takes_room).count()
}

/// `1 packet`, `2 packets`.
pub(crate) fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_without_trailing_blanks() {
        let mut table =
            Table::new(&[("name", Align::Left), ("size", Align::Right), ("note", Align::Left)]);
        table.row(["ä".into(), "12345".into(), "x".into()]);
        table.row(["long".into(), "1".into(), String::new()]);
        let mut out = Vec::new();
        table.print(&mut out, Style::plain(), "  ").unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "  name   size  note\n  ä     12345  x\n  long      1\n"
        );
    }

    #[test]
    fn colours_only_where_wanted() {
        assert_eq!(Style::plain().red("x"), "x");
        assert_eq!(Style { colour: true }.red("x"), "\x1b[1;31mx\x1b[0m");
    }

    #[test]
    fn colours_take_no_room() {
        let mut table = Table::new(&[("a", Align::Left), ("b", Align::Left)]);
        table.row([Style { colour: true }.green("yes"), "x".into()]);
        table.row(["no".into(), "y".into()]);
        let mut out = Vec::new();
        table.print(&mut out, Style::plain(), "").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a    b\n\x1b[32myes\x1b[0m  x\nno   y\n");
    }

    #[test]
    fn counts() {
        assert_eq!(count(1, "packet"), "1 packet");
        assert_eq!(count(0, "packet"), "0 packets");
    }
}
