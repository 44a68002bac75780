//! The programs that are measured: members of some kinds, roots that call them, the same in one source as
//! a person would write it, and a chain of tail calls.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// What a member does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// Adds 1 in a map.
    Counter,
    /// Parses Ethernet and IPv4 and looks the source up in a hash map.
    Parser,
    /// Rewrites a field of the IPv4 header by a value from a map, and the checksum.
    Rewriter,
    /// The same by a constant: every member rewrites the same field, so a compiler that sees them
    /// together makes one rewriting of all.
    Constant,
}

impl Kind {
    /// All.
    pub(super) const ALL: [Self; 4] = [Self::Counter, Self::Parser, Self::Rewriter, Self::Constant];

    /// For files and tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Parser => "parser",
            Self::Rewriter => "rewriter",
            Self::Constant => "constant",
        }
    }

    /// As a sentence's subject.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Counter => "Map counter",
            Self::Parser => "Header parser with a blocklist",
            Self::Rewriter => "Packet rewriter",
            Self::Constant => "Rewriter of one field by constants",
        }
    }

    /// Map and function of one member; `#` is its number.
    fn code(self) -> &'static str {
        match self {
            Self::Counter => {
                "struct { NUM(type, MAP_ARRAY); TYPE(key, u32); TYPE(value, u64); NUM(max_entries, 1); }
	state# SEC(\".maps\");
PREFIX int member#(struct xdp_md *ctx)
{
	u32 key = 0;
	u64 *seen = map_lookup(&state#, &key);

	if (!seen)
		return XDP_ABORTED;
	(*seen)++;
	return XDP_PASS;
}
"
            }
            Self::Parser => {
                "struct { NUM(type, MAP_HASH); TYPE(key, u32); TYPE(value, u32); NUM(max_entries, 1024); }
	state# SEC(\".maps\");
PREFIX int member#(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	u32 source;

	if (data + sizeof(*eth) + sizeof(*ip) > end)
		return XDP_PASS;
	if (eth->proto != be16_of(ETH_P_IP) || ip->version_ihl != 0x45)
		return XDP_PASS;
	source = ip->saddr;
	return map_lookup(&state#, &source) ? XDP_DROP : XDP_PASS;
}
"
            }
            Self::Rewriter => {
                "struct { NUM(type, MAP_ARRAY); TYPE(key, u32); TYPE(value, u32); NUM(max_entries, 1); }
	state# SEC(\".maps\");
PREFIX int member#(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	u32 sum, key = 0, *with;

	if (data + sizeof(*eth) + sizeof(*ip) > end)
		return XDP_PASS;
	if (eth->proto != be16_of(ETH_P_IP))
		return XDP_PASS;
	with = map_lookup(&state#, &key);
	if (!with)
		return XDP_ABORTED;
	sum = (u16)~ip->check + (u16)~ip->id;
	ip->id ^= *with + # * 257 + 1;
	sum += ip->id;
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~((sum & 0xffff) + (sum >> 16));
	return XDP_PASS;
}
"
            }
            Self::Constant => {
                "PREFIX int member#(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	u32 sum;

	if (data + sizeof(*eth) + sizeof(*ip) > end)
		return XDP_PASS;
	if (eth->proto != be16_of(ETH_P_IP))
		return XDP_PASS;
	sum = (u16)~ip->check + (u16)~ip->id;
	ip->id ^= # * 257 + 1;
	sum += ip->id;
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~((sum & 0xffff) + (sum >> 16));
	return XDP_PASS;
}
"
            }
        }
    }

    fn member(self, number: usize, prefix: &str) -> String {
        self.code().replace('#', &number.to_string()).replace("PREFIX", prefix)
    }
}

const HEAD: &str = "#include \"weld.h\"\nLICENSE(\"GPL\");\n";

/// Where the objects of a run are; made when asked for.
pub(super) struct Objects {
    /// The directory.
    pub(super) dir: PathBuf,
    /// The workspace's root.
    root: PathBuf,
}

impl Objects {
    pub(super) fn new(root: &Path, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.into(), root: root.into() })
    }

    /// One member in an object of its own. Number 0 for all but the rewriters, whose members differ in
    /// a constant.
    pub(super) fn member(&self, kind: Kind, number: usize) -> Result<PathBuf> {
        let rewrites = matches!(kind, Kind::Rewriter | Kind::Constant);
        let number = if rewrites { number } else { 0 };
        let code = kind.member(number, "SEC(\"xdp\")");
        self.compile(&format!("{}{number}", kind.name()), &code)
    }

    /// A root that calls so many externs `m0`, `m1`, … as long as they pass.
    pub(super) fn chain(&self, count: usize) -> Result<PathBuf> {
        let mut code = String::new();
        for i in 0..count {
            writeln!(code, "extern int m{i}(struct xdp_md *ctx);")?;
        }
        code += "SEC(\"xdp\") int chain(struct xdp_md *ctx)\n{\n\tint verdict;\n\n";
        for i in 0..count {
            writeln!(
                code,
                "\tverdict = m{i}(ctx);\n\tif (verdict != XDP_PASS)\n\t\treturn verdict;"
            )?;
        }
        code += "\treturn XDP_PASS;\n}\n";
        self.compile(&format!("chain{count}"), &code)
    }

    /// The same written as one program, for the compiler to inline.
    pub(super) fn merged(&self, kind: Kind, count: usize) -> Result<PathBuf> {
        let mut code: String = (0..count).map(|i| kind.member(i, "static ALWAYS_INLINE")).collect();
        code += "SEC(\"xdp\") int chain(struct xdp_md *ctx)\n{\n\tint verdict;\n\n";
        for i in 0..count {
            writeln!(
                code,
                "\tverdict = member{i}(ctx);\n\tif (verdict != XDP_PASS)\n\t\treturn verdict;"
            )?;
        }
        code += "\treturn XDP_PASS;\n}\n";
        self.compile(&format!("merged-{}{count}", kind.name()), &code)
    }

    /// Programs that tail-call each other, each as an entry of a prog array.
    pub(super) fn tail_calls(&self, kind: Kind, count: usize) -> Result<PathBuf> {
        let mut code = String::new();
        for i in 1..count {
            writeln!(code, "int step{i}(struct xdp_md *ctx);")?;
        }
        let slots: Vec<String> = (1..count).map(|i| format!("(void *)&step{i}")).collect();
        writeln!(
            code,
            "struct {{ NUM(type, MAP_PROG_ARRAY); TYPE(key, u32); NUM(max_entries, {}); VALUES(int (void *)); }}\n\
             \tsteps SEC(\".maps\") = {{ .values = {{ {} }} }};",
            count.max(2) - 1,
            slots.join(", ")
        )?;
        for i in 0..count {
            code += &kind.member(i, "static ALWAYS_INLINE");
            let name = if i == 0 { "chain".into() } else { format!("step{i}") };
            writeln!(
                code,
                "SEC(\"xdp\") int {name}(struct xdp_md *ctx)\n{{\n\tint verdict = member{i}(ctx);\n\n\
                 \tif (verdict != XDP_PASS)\n\t\treturn verdict;"
            )?;
            if i + 1 < count {
                writeln!(code, "\ttail_call(ctx, &steps, {i});")?;
            }
            code += "\treturn XDP_PASS;\n}\n";
        }
        self.compile(&format!("tail-{}{count}", kind.name()), &code)
    }

    /// A program of a known number of instructions, beside a few: to tell how long one takes.
    pub(super) fn known(&self, count: usize) -> Result<PathBuf> {
        // One x86 instruction each, on any kernel: `add rax, imm`.
        let code = format!(
            "SEC(\"xdp\") int chain(struct xdp_md *ctx)\n{{\n\tu64 sum = 1;\n\n\
             \tasm volatile(\".rept {count}\\n\\t%[sum] += 3\\n\\t.endr\" : [sum] \"+r\"(sum));\n\
             \treturn sum ? XDP_PASS : XDP_DROP;\n}}\n"
        );
        self.compile(&format!("known{count}"), &code)
    }

    fn compile(&self, name: &str, code: &str) -> Result<PathBuf> {
        let (source, object) =
            (self.dir.join(format!("{name}.c")), self.dir.join(format!("{name}.o")));
        std::fs::write(&source, format!("{HEAD}{code}"))?;
        let output = Command::new("clang-19")
            .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-I"])
            .arg(self.root.join("cases/include"))
            .arg("-c")
            .arg(&source)
            .arg("-o")
            .arg(&object)
            .output()
            .context("clang-19")?;
        if !output.status.success() {
            bail!("{}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
        }
        Ok(object)
    }
}

/// An Ethernet frame of 64 bytes with an IPv4 header and UDP.
pub(super) fn packet() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    // Version, length 50, id 0x1234, TTL 64, UDP, checksum, 192.0.2.1 -> 192.0.2.2
    frame.extend([0x45, 0, 0, 50, 0x12, 0x34, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    let words = frame[14..].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let check = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&check.to_be_bytes());
    frame.extend([0x30, 0x39, 0, 53, 0, 30, 0, 0]);
    frame.resize(64, 0);
    frame
}
