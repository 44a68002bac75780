//! A place in a source file as people see it: the line with its neighbours and a caret under the
//! column. Drawn by `annotate-snippets`, which also shows control characters as such: source text
//! comes from objects.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet as Drawn};
use bpfweld::link::{Site, SourceLine};

use super::sources::{Excerpt, Sources};
use crate::output::Style;

/// Characters of a line that are shown; line info may quote anything.
const LONGEST_LINE: usize = 300;

/// A place and what is to be said about it.
#[derive(Debug, Clone)]
pub(crate) struct Snippet {
    pub(super) source: SourceLine,
    pub(super) label: String,
}

impl Snippet {
    /// `None` where the object has no line info for the place.
    pub(super) fn of(site: &Site, label: impl Into<String>) -> Option<Self> {
        let source = site.source.clone().filter(|source| !source.text.trim().is_empty())?;
        Some(Self { source, label: label.into() })
    }

    /// As lines; never empty.
    pub(super) fn draw(&self, style: Style, sources: &mut Sources) -> String {
        let at = &self.source;
        let Some(excerpt) = sources.excerpt(at) else {
            return format!(" --> {}:{}:{}: {}", at.file, at.line, at.column, self.label);
        };
        let Excerpt { first, lines } = excerpt;
        let before = (at.line as usize).saturating_sub(first);
        let mut text = String::new();
        let mut span = 0..0;
        for (index, line) in lines.iter().enumerate() {
            let end = line.char_indices().nth(LONGEST_LINE).map_or(line.len(), |(end, _)| end);
            let line = line.get(..end).unwrap_or(line);
            if index == before {
                let (start, end) = word(line, at.column as usize);
                span = text.len() + start..text.len() + end;
            }
            text.push_str(line);
            text.push('\n');
        }
        let annotation = AnnotationKind::Primary.span(span).label(self.label.as_str());
        let drawn = Drawn::source(text.as_str())
            .line_start(first)
            .path(at.file.as_str())
            .fold(false)
            .annotation(annotation);
        let renderer = if style.is_plain() { Renderer::plain() } else { Renderer::styled() };
        renderer.render(&[Group::with_level(Level::ERROR).element(drawn)])
    }
}

/// What the caret points at: the word at a column (from 1, in bytes), or the whole line where the
/// column is not known.
fn word(line: &str, column: usize) -> (usize, usize) {
    let indent = line.len() - line.trim_start().len();
    let start = match column.checked_sub(1) {
        Some(start) if start < line.trim_end().len() && line.is_char_boundary(start) => start,
        _ => return (indent, line.trim_end().len()),
    };
    let rest = line.get(start..).unwrap_or_default();
    let mut chars = rest.char_indices();
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let len = match chars.next() {
        Some((_, first)) if !part_of_name(first) => first.len_utf8(),
        _ => rest.find(|c| !part_of_name(c)).unwrap_or(rest.len()),
    };
    (start, start + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str, column: u32) -> String {
        let source = SourceLine { file: "root.c".into(), line: 12, column, text: text.into() };
        let snippet = Snippet { source, label: "here".into() };
        snippet.draw(Style::plain(), &mut Sources::none())
    }

    #[test]
    fn the_caret_is_under_the_word() {
        assert_eq!(
            drawn("\treturn prog1(ctx);", 9),
            "  --> root.c:12:9\n   |\n12 |     return prog1(ctx);\n   |            ^^^^^ here"
        );
        assert!(drawn("*p = 1;", 1).ends_with("| ^ here"));
        // No column, or none of this line: the line.
        for column in [0, 999] {
            assert!(
                drawn("  x = 1;", column).ends_with("|   ^^^^^^ here"),
                "{}",
                drawn("  x = 1;", column)
            );
        }
    }

    #[test]
    fn what_objects_quote_cannot_harm_a_terminal() {
        let text = drawn("a\u{1b}[31mred\u{7}", 1);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
        assert!(drawn("ä = ö", 2).contains("here"));
        let long = "x".repeat(1 << 20);
        assert!(drawn(&long, 1 << 10).len() < 4000);
        assert!(drawn("", 1).contains("root.c:12:1: here"));
    }
}
