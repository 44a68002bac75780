//! Tables and plots in `docs/performance.md`, each between two marks, so that a run of one part leaves the
//! others as they are.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::changes::{self, Changes, Loader};
use super::guests::{Costs, Measured};
use super::native::{Linking, Times};
use super::sources::Kind;
use super::{LIBXDP_SLOTS, Variant};

/// What comes before the tables where there are none yet.
const INTRODUCTION: &str = "## Chains: cost per packet

Every table is made by `cargo xtask bench`, which says how. The members are separately built objects; \"by
hand\" is the same code in one source, inlined by `clang-19 -O2`. All members pass the packet on.
";

/// New text for the documentation.
pub(super) struct Report {
    root: PathBuf,
    sections: Vec<(&'static str, String)>,
    plots: Vec<(String, String)>,
}

impl Report {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.into(), sections: Vec::new(), plots: Vec::new() }
    }

    /// Instructions per packet.
    pub(super) fn instructions(&mut self, measured: &[Measured]) -> Result<()> {
        let mut text = format!(
            "### Instructions per packet, Linux in virtual machines\n\n\
             `cargo xtask bench instructions`, {}. Instructions of the guest for one packet (`-icount \
             shift=0`), the kernel's test run around the program included. The clock of each guest was \
             calibrated with programs of known length.\n",
            today()?
        );
        for kernel in measured {
            write!(
                text,
                "\n**Linux {}** ({:.3} ns of the guest's clock an instruction)\n\n",
                kernel.release, kernel.ns_per_instruction
            )?;
            let scale = 1.0 / kernel.ns_per_instruction;
            let variants = [Variant::Libxdp, Variant::Linked, Variant::Fused, Variant::Merged];
            table(&mut text, &kernel.costs, &variants, scale)?;
            slopes(&mut text, &kernel.costs, &variants, scale)?;
            ratios(&mut text, &kernel.costs)?;
            for kind in Kind::ALL {
                let file = format!("instructions-{}-{}.svg", kernel.series, kind.name());
                let title =
                    format!("{}, Linux {}: instructions per packet", kind.title(), kernel.series);
                let plot = plot(&title, &kernel.costs, kind, &variants, scale)?;
                write!(text, "\n![{title}](performance/{file})\n")?;
                self.plots.push((file, plot));
            }
        }
        self.sections.push(("instructions", text));
        Ok(())
    }

    /// Time per packet.
    pub(super) fn times(&mut self, times: &Times) -> Result<()> {
        let mut text = format!(
            "### Time per packet\n\n`cargo xtask bench time`, Linux {}, {}, medians of {} rounds in which \
             all variants ran in turn; nanoseconds per packet.\n\n",
            times.release,
            today()?,
            times.rounds
        );
        let variants = [Variant::TailCalls, Variant::Linked, Variant::Fused, Variant::Merged];
        table(&mut text, &times.costs, &variants, 1.0)?;
        text += "\nFused by hand-written, median of the rounds' ratios:\n\n| | ";
        let sizes = sizes(&times.costs);
        text += &sizes.iter().map(|n| format!("{n} | ")).collect::<String>();
        writeln!(text, "\n|---|{}", "--:|".repeat(sizes.len()))?;
        for kind in Kind::ALL {
            write!(text, "| {} |", kind.title())?;
            for &size in &sizes {
                match times.ratios.get(&(kind, size)) {
                    Some(ratio) => write!(text, " {ratio:.2} |")?,
                    None => text += " |",
                }
            }
            text += "\n";
            let file = format!("time-{}.svg", kind.name());
            let title = format!("{}: nanoseconds per packet", kind.title());
            self.plots.push((file, plot(&title, &times.costs, kind, &variants, 1.0)?));
        }
        for kind in Kind::ALL {
            let title = kind.title();
            write!(
                text,
                "\n![{title}: nanoseconds per packet](performance/time-{}.svg)\n",
                kind.name()
            )?;
        }
        self.sections.push(("time", text));
        Ok(())
    }

    /// Time and memory of linking.
    pub(super) fn linking(&mut self, all: &[Linking]) -> Result<()> {
        let mut text = format!(
            "### Linking\n\n`cargo xtask bench link`, {}. Members in a file each; a root calls up to 50 of \
             them, so 1000 are 20 programs. Medians. \"Change\" links and fuses all anew with one member \
             another, the other objects read already.\n\n\
             | members | objects | read and link (ms) | fuse (ms) | change (ms) | peak memory (MiB) |\n\
             |---|--:|--:|--:|--:|--:|\n",
            today()?
        );
        for l in all {
            writeln!(
                text,
                "| {} | {} | {:.2} | {:.2} | {:.2} | {:.1} |",
                l.kind.title(),
                l.objects,
                l.link,
                l.fuse,
                l.change,
                l.memory as f64 / 1024.0
            )?;
        }
        self.sections.push(("link", text));
        Ok(())
    }

    /// Time to add a program to a chain.
    pub(super) fn changes(&mut self, all: &[Changes]) -> Result<()> {
        let mut text = format!(
            "### Beside xdp-loader, in virtual machines\n\n\
             `cargo xtask bench changes`, {}: `bpfweld xdp load v0 OBJECT` and `xdp-loader load v0 OBJECT` \
             (xdp-tools {}), each program one command, whole commands timed in the guest, in turn, medians. \
             Milliseconds of the guest's clock, which goes on by 1 ns with each instruction (`-icount \
             shift=0,sleep=off`) and over waiting at once; the rounds begin at moments that are spread over \
             what is from one tick to the next. libxdp's dispatcher has {LIBXDP_SLOTS} slots.\n",
            today()?,
            version("xdp-tools")?,
        );
        for kernel in all {
            write!(text, "\n**Linux {}** ({} rounds)\n\n", kernel.release, kernel.rounds)?;
            let mut sizes: Vec<usize> = kernel.times.keys().map(|k| k.2).collect();
            sizes.sort_unstable();
            sizes.dedup();
            let heads: String = sizes.iter().map(|n| format!(" {n} |")).collect();
            writeln!(text, "| adding the n-th |{heads}\n|---|{}", "--:|".repeat(sizes.len()))?;
            for kind in changes::KINDS {
                for loader in Loader::ALL {
                    write!(text, "| {}, {} |", kind.title(), loader.name())?;
                    for &size in &sizes {
                        match kernel.times.get(&(kind, loader, size)) {
                            Some(ms) => write!(text, " {ms:.1} |")?,
                            None => text.push_str(" |"),
                        }
                    }
                    text.push('\n');
                }
            }
            text.push('\n');
            for kind in changes::KINDS {
                let (at_none, each, r2) = kernel.line(kind);
                let ratio = kernel.ratio(kind).context("the tenth was not measured")?;
                writeln!(
                    text,
                    "* {}: the tenth takes {ratio:.2} of xdp-loader's; bpfweld's line is {at_none:.1} + \
                     {each:.2} n, r² = {r2:.3}.",
                    kind.title()
                )?;
            }
        }
        self.sections.push(("changes", text));
        Ok(())
    }

    /// Prints, and writes unless it is a dry run.
    pub(super) fn finish(self, dry: bool) -> Result<()> {
        for (_, text) in &self.sections {
            println!("{text}");
        }
        if dry {
            return Ok(());
        }
        let file = self.root.join("docs/performance.md");
        let mut doc = std::fs::read_to_string(&file).unwrap_or_else(|_| "# Performance\n".into());
        if !doc.contains("## Chains: cost per packet") {
            doc = format!("{}\n\n{INTRODUCTION}", doc.trim_end());
        }
        for (name, text) in &self.sections {
            doc = replace(&doc, name, text);
        }
        std::fs::write(&file, doc).with_context(|| file.display().to_string())?;
        let plots = self.root.join("docs/performance");
        std::fs::create_dir_all(&plots)?;
        for (name, plot) in &self.plots {
            std::fs::write(plots.join(name), plot)?;
        }
        Ok(())
    }
}

/// Puts a section's text between its marks, which are made at the end where they are missing.
fn replace(doc: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- bench {name} -->"), format!("<!-- end of {name} -->"));
    let section = format!("{begin}\n{text}{end}");
    match (doc.find(&begin), doc.find(&end)) {
        (Some(from), Some(to)) if from < to => {
            format!("{}{section}{}", &doc[..from], &doc[to + end.len()..])
        }
        _ => format!("{}\n\n{section}\n", doc.trim_end()),
    }
}

/// Where adding the tenth program takes longer than xdp-loader takes.
pub(super) fn slower(all: &[Changes]) -> Vec<String> {
    let mut slower = Vec::new();
    for kernel in all {
        for kind in changes::KINDS {
            if let Some(ratio) = kernel.ratio(kind).filter(|r| *r > 1.0) {
                slower.push(format!("{ratio:.2} on {} ({})", kernel.release, kind.name()));
            }
        }
    }
    slower
}

/// Of a Debian package.
fn version(package: &str) -> Result<String> {
    let output = std::process::Command::new("dpkg-query")
        .args(["-W", "-f", "${Version}", package])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn today() -> Result<String> {
    let output = std::process::Command::new("date").arg("+%Y-%m-%d").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn sizes(costs: &Costs) -> Vec<usize> {
    let mut sizes: Vec<usize> = costs.keys().map(|k| k.2).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn table(text: &mut String, costs: &Costs, variants: &[Variant], scale: f64) -> Result<()> {
    let sizes = sizes(costs);
    write!(text, "| members |")?;
    for size in &sizes {
        write!(text, " {size} |")?;
    }
    writeln!(text, "\n|---|{}", "--:|".repeat(sizes.len()))?;
    for kind in Kind::ALL {
        for &variant in variants {
            write!(text, "| {}, {} |", kind.title(), variant.name())?;
            for &size in &sizes {
                match costs.get(&(kind, variant, size)) {
                    Some(ns) => write!(text, " {:.0} |", ns * scale)?,
                    None => text.push_str(" |"),
                }
            }
            text.push('\n');
        }
    }
    Ok(())
}

/// What one member more costs, between each two sizes.
fn slopes(text: &mut String, costs: &Costs, variants: &[Variant], scale: f64) -> Result<()> {
    let sizes = sizes(costs);
    write!(text, "\nOne member more costs, between two sizes:\n\n| |")?;
    for pair in sizes.windows(2) {
        write!(text, " {} to {} |", pair[0], pair[1])?;
    }
    writeln!(text, "\n|---|{}", "--:|".repeat(sizes.len().saturating_sub(1)))?;
    for kind in Kind::ALL {
        for &variant in variants {
            write!(text, "| {}, {} |", kind.title(), variant.name())?;
            for pair in sizes.windows(2) {
                let cost = |n: usize| costs.get(&(kind, variant, n));
                match (cost(pair[0]), cost(pair[1])) {
                    (Some(a), Some(b)) => {
                        let members = (pair[1] - pair[0]) as f64;
                        write!(text, " {:.1} |", (b - a) * scale / members)?;
                    }
                    _ => text.push_str(" |"),
                }
            }
            text.push('\n');
        }
    }
    Ok(())
}

/// Members of the chains that are compared: what one more costs is taken from the difference.
const COMPARED: [usize; 2] = [3, 10];

/// Fused beside the others. Nothing where a size was not measured.
fn ratios(text: &mut String, costs: &Costs) -> Result<()> {
    let [few, many] = COMPARED;
    writeln!(
        text,
        "\nFused, beside the others:\n\n\
         | | one member more ({few} to {many}), by hand = 1 | libxdp = 1 | all {many}, by hand = 1 |\n\
         |---|--:|--:|--:|"
    )?;
    for kind in Kind::ALL {
        let whole = |variant| costs.get(&(kind, variant, many)).copied();
        let more = |variant| Some(whole(variant)? - costs.get(&(kind, variant, few))?);
        let beside = |a: Option<f64>, b: Option<f64>| match a.zip(b) {
            Some((a, b)) => format!("{:.3}", a / b),
            None => String::new(),
        };
        let fused = more(Variant::Fused);
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            kind.title(),
            beside(fused, more(Variant::Merged)),
            beside(fused, more(Variant::Libxdp)),
            beside(whole(Variant::Fused), whole(Variant::Merged))
        )?;
    }
    Ok(())
}

/// Size of a plot, and the room around its axes, in pixels.
const SIZE: (f64, f64) = (640.0, 360.0);
const LEFT: f64 = 60.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;

/// Cost over members as SVG, a line for each variant.
fn plot(
    title: &str,
    costs: &Costs,
    kind: Kind,
    variants: &[Variant],
    scale: f64,
) -> Result<String> {
    let most = sizes(costs).last().copied().unwrap_or(1) as f64;
    let of_kind = costs.iter().filter(|(key, _)| key.0 == kind);
    let highest = of_kind.map(|(_, ns)| ns * scale).fold(1.0, f64::max);
    // Round numbers at about five places of the axis.
    let rough = highest / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|f| f * power).into_iter().find(|s| *s >= rough);
    let step = step.unwrap_or(rough);
    let top = (highest / step).ceil() * step;
    let x = |members: f64| LEFT + members / most * (SIZE.0 - LEFT - RIGHT);
    let y = |cost: f64| SIZE.1 - BOTTOM - cost / top * (SIZE.1 - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{title}</text>\n",
        SIZE.0, SIZE.1
    );
    let mut at = 0.0;
    while at <= top {
        writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{0:.1}\" x2=\"{1:.1}\" y2=\"{0:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{at}</text>",
            y(at),
            x(most),
            LEFT - 6.0,
            y(at) + 4.0
        )?;
        at += step;
    }
    for size in sizes(costs) {
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{size}</text>",
            x(size as f64),
            SIZE.1 - BOTTOM + 18.0
        )?;
    }
    writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">members</text>",
        x(most / 2.0),
        SIZE.1 - 6.0
    )?;
    let mut labels: Vec<f64> = Vec::new();
    for &variant in variants {
        let colour = match variant {
            Variant::Libxdp => "#c0392b",
            Variant::TailCalls => "#8e44ad",
            Variant::Linked => "#e67e22",
            Variant::Fused => "#2471a3",
            Variant::Merged => "#7f8c8d",
        };
        let points: Vec<(f64, f64)> = costs
            .iter()
            .filter(|(key, _)| (key.0, key.1) == (kind, variant))
            .map(|(key, ns)| (x(key.2 as f64), y(ns * scale)))
            .collect();
        let Some(&(end_x, end_y)) = points.last() else { continue };
        let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        // Two lines that lie on each other are both to be seen.
        let dashes = if variant == Variant::Merged { " stroke-dasharray=\"5 4\"" } else { "" };
        writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
            line.join(" ")
        )?;
        for (x, y) in &points {
            writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>")?;
        }
        let mut label = end_y + 4.0;
        while labels.iter().any(|other| (other - label).abs() < 13.0) {
            label += 13.0;
        }
        labels.push(label);
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{label:.1}\" fill=\"{colour}\">{}</text>",
            end_x + 8.0,
            variant.name()
        )?;
    }
    svg += "</svg>\n";
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_replaces_its_own() {
        let doc = "# Performance\n\nAbove.\n";
        let doc = replace(doc, "a", "one\n");
        let doc = replace(&doc, "b", "two\n");
        let doc = replace(&doc, "a", "three\n");
        assert!(!doc.contains("one") && doc.contains("two") && doc.contains("Above."));
        assert!(doc.find("three") < doc.find("two"));
        assert_eq!(doc.matches("<!-- bench a -->").count(), 1);
    }

    #[test]
    fn a_plot_has_a_line_for_each_variant() {
        let mut costs = Costs::new();
        for (n, ns) in [(1, 30.0), (10, 120.0)] {
            costs.insert((Kind::Counter, Variant::Fused, n), ns);
            costs.insert((Kind::Counter, Variant::Linked, n), ns * 2.0);
        }
        let variants = [Variant::Libxdp, Variant::Linked, Variant::Fused];
        let svg = plot("title", &costs, Kind::Counter, &variants, 1.0).unwrap();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.ends_with("</svg>\n"));
    }
}
