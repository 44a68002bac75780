//! `cargo xtask capture`: records `cases/captures/real.pcap`.
//!
//! Two network namespaces joined by a veth pair; in them real programs: ping, a DNS server and its
//! client, an HTTP server and its client. tcpdump records one end. The file is committed; only who
//! wants other traffic records anew (and then adapts the counts in `cases/capture`).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Options of the task.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Programs that the recording needs, and the Debian package of each.
const TOOLS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("tcpdump", "tcpdump"),
    ("ping", "iputils-ping"),
    ("dnsmasq", "dnsmasq-base"),
    ("dig", "bind9-dnsutils"),
    ("curl", "curl"),
    ("python3", "python3"),
];

/// The task.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    need_tools()?;
    let out = options.out.clone().unwrap_or_else(|| root.join("cases/captures/real.pcap"));
    if let Some(dir) = out.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("real.pcap");

    let net = Network::new()?;
    record(&net, scratch.path(), &file)?;
    drop(net);

    std::fs::copy(&file, &out).with_context(|| out.display().to_string())?;
    println!("wrote {} ({} bytes)", out.display(), std::fs::metadata(&out)?.len());
    Ok(())
}

fn need_tools() -> Result<()> {
    let there = |tool: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .any(|dir| dir.join(tool).is_file())
    };
    let missing: Vec<&str> = TOOLS.iter().filter(|t| !there(t.0)).map(|t| t.1).collect();
    if !missing.is_empty() {
        bail!("programs are missing; install (Debian packages): {}", missing.join(" "));
    }
    Ok(())
}

/// The addresses are from the blocks for documentation (RFC 5737, RFC 3849).
const LEFT: &str = "192.0.2.1";
const RIGHT: &str = "192.0.2.2";

fn record(net: &Network, scratch: &Path, file: &Path) -> Result<()> {
    let page = scratch.join("www");
    std::fs::create_dir(&page)?;
    let lines: String = (1..=400).map(|n| format!("line {n} of a page\n")).collect();
    std::fs::write(page.join("index.html"), lines)?;

    let dump = net.left(&["tcpdump", "-i", "bpfweld-l", "-U", "--immediate-mode", "-s", "0", "-w"]);
    let mut dump = Running::start(with_arg(dump, file))?;
    let mut dns = net.right(&["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts"]);
    dns.args(["--conf-file=/dev/null", "--pid-file=", "--user=root", "--listen-address", RIGHT]);
    dns.args(["--bind-interfaces", "--address=/weld.example/192.0.2.2"]);
    let _dns = Running::start(dns)?;
    let mut web = net.right(&["python3", "-m", "http.server", "80", "--bind", RIGHT, "-d"]);
    web.arg(&page);
    let _web = Running::start(web)?;
    sleep(Duration::from_secs(2));

    finish(net.left(&["ping", "-q", "-c", "40", "-i", "0.02", RIGHT]))?;
    finish(net.left(&["ping", "-q", "-c", "10", "-i", "0.02", "-s", "1400", RIGHT]))?;
    for n in 0..20 {
        let name = format!("host{n}.weld.example");
        let server = format!("@{RIGHT}");
        finish(net.left(&["dig", "+short", "+tries=1", &server, &name, "A"]))?;
    }
    for n in 0..10 {
        let url = format!("http://{RIGHT}/{}", if n % 5 == 4 { "missing" } else { "" });
        finish(net.left(&["curl", "-s", "-o", "/dev/null", &url]))?;
    }
    sleep(Duration::from_secs(1));
    dump.stop()
}

fn with_arg(mut command: Command, arg: &Path) -> Command {
    command.arg(arg);
    command
}

fn finish(mut command: Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Two namespaces of our own. Dropping it removes them and, with them, the veth pair.
struct Network {
    left: String,
    right: String,
}

impl Network {
    fn new() -> Result<Self> {
        let id = std::process::id();
        let net = Self { left: format!("bpfweld-l{id}"), right: format!("bpfweld-r{id}") };
        finish(command(&["ip", "netns", "add", &net.left]))
            .context("cannot make a network namespace (this task needs root)")?;
        finish(command(&["ip", "netns", "add", &net.right]))?;
        finish(net.left(&[
            "ip",
            "link",
            "add",
            "bpfweld-l",
            "address",
            "02:00:00:00:00:01",
            "type",
            "veth",
            "peer",
            "name",
            "bpfweld-r",
            "address",
            "02:00:00:00:00:02",
            "netns",
            &net.right,
        ]))?;
        for (side, dev, address) in [
            (Self::left as fn(&Self, &[&str]) -> Command, "bpfweld-l", LEFT),
            (Self::right, "bpfweld-r", RIGHT),
        ] {
            // Packets as they would be on a wire: none larger than the MTU, checksums filled in.
            finish(side(
                &net,
                &["ethtool", "-K", dev, "tx", "off", "tso", "off", "gso", "off", "gro", "off"],
            ))?;
            finish(side(&net, &["ip", "address", "add", &format!("{address}/24"), "dev", dev]))?;
            finish(side(&net, &["ip", "link", "set", dev, "up"]))?;
            finish(side(&net, &["ip", "link", "set", "lo", "up"]))?;
        }
        Ok(net)
    }

    fn left(&self, args: &[&str]) -> Command {
        let mut whole = vec!["ip", "netns", "exec", &self.left];
        whole.extend(args);
        command(&whole)
    }

    fn right(&self, args: &[&str]) -> Command {
        let mut whole = vec!["ip", "netns", "exec", &self.right];
        whole.extend(args);
        command(&whole)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in [&self.left, &self.right] {
            // One that was never made cannot be removed; there is nobody to tell.
            let _ = command(&["ip", "netns", "delete", name]).output();
        }
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(args.first().copied().unwrap_or_default());
    command.args(args.get(1..).unwrap_or(&[])).stdin(Stdio::null());
    command
}

/// A program in the background; stopped when dropped.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Result<Self> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self(child.with_context(|| format!("cannot start {command:?}"))?))
    }

    /// SIGTERM, so that it writes out what it has.
    fn stop(&mut self) -> Result<()> {
        finish(command(&["kill", &self.0.id().to_string()]))?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
