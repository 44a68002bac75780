//! Two network namespaces with a pair of interfaces between them, a BPF file system and a state directory
//! of their own; all of it goes with the value.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bpfweld::kernel::{RealSys, Sys};
use serde_json::Value;

/// The interface with the chain, and the one that sends to it.
pub(crate) const HERE: &str = "here0";
pub(crate) const THERE: &str = "there0";
const ADDRESS: &str = "10.213.7.1";
const PORT: u16 = 7007;

pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) here: String,
    pub(crate) there: String,
}

/// Runs a tool and wants it to succeed.
pub(crate) fn tool(line: &str) {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Names of programs, with the variables that were set.
fn in_short(programs: &Value, set: &str) -> String {
    let one = |p: &Value| {
        let set_to = |s: &Value| format!("{}={}", s[0].as_str().unwrap(), s[1].as_str().unwrap());
        let sets: Vec<_> = p[set].as_array().unwrap().iter().map(set_to).collect();
        let name = p["name"].as_str().unwrap();
        if sets.is_empty() { name.to_owned() } else { format!("{name}[{}]", sets.join(",")) }
    };
    programs.as_array().unwrap().iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Says that a test could not run here, past the test runner, which hides what passing tests print.
pub(crate) fn skip(why: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("?");
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

/// Has the kernel this feature, by bpfweld's own probe? Where not, the test is passed over, and says so.
pub(crate) fn kernel_has(feature: &str) -> bool {
    let output = Command::new(bpfweld()).args(["features", "--json"]).output();
    let text: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let features = text["features"].as_array().unwrap();
    let found = features.iter().find(|f| f["name"] == feature).unwrap();
    let has = found["supported"] == true;
    if !has {
        skip(&format!("needs feature:{feature} ({})", found["description"].as_str().unwrap()));
    }
    has
}

/// The command that cargo built, or BPFWELD_BIN where that is out of reach (in a guest of `cargo xtask
/// kernels`).
pub(crate) fn bpfweld() -> PathBuf {
    std::env::var_os("BPFWELD_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_bpfweld").into(), PathBuf::from)
}

/// Is little of what takes long to do? `cargo xtask kernels` says so, unless it is to do the whole.
pub(crate) fn is_brief() -> bool {
    std::env::var_os("BPFWELD_BRIEF").is_some()
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|l| l.starts_with("Uid:\t0\t"))
}

impl World {
    /// `None`, and a word about it, where this process may not do such things.
    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            skip("network namespaces need root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |what| format!("bpfweld-{what}-{}-{n}", std::process::id());
        let world = Self { dir, here: name("here"), there: name("there") };
        std::fs::create_dir(world.pin_root()).unwrap();
        tool(&format!("mount -t bpf bpf {}", world.pin_root().display()));
        for ns in [&world.here, &world.there] {
            tool(&format!("ip netns add {ns}"));
        }
        world.pair(HERE, THERE);
        tool(&format!("ip -n {} addr add {ADDRESS}/24 dev {HERE}", world.here));
        tool(&format!("ip -n {} addr add 10.213.7.2/24 dev {THERE}", world.there));
        // Nothing but the test's packets.
        let mac = |ns: &str, dev: &str| {
            let path = format!("/sys/class/net/{dev}/address");
            let output = Command::new("ip").args(["netns", "exec", ns, "cat", &path]).output();
            String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
        };
        let (at, to) = (mac(&world.there, THERE), mac(&world.here, HERE));
        tool(&format!("ip -n {} neigh add 10.213.7.2 lladdr {at} dev {HERE}", world.here));
        tool(&format!("ip -n {} neigh add {ADDRESS} lladdr {to} dev {THERE}", world.there));
        Some(world)
    }

    /// Another pair of interfaces.
    pub(crate) fn pair(&self, here: &str, there: &str) {
        let (a, b) = (&self.here, &self.there);
        tool(&format!("ip link add {here} netns {a} type veth peer name {there} netns {b}"));
        for (ns, dev) in [(a, here), (b, there)] {
            for (file, value) in [("accept_dad", 0), ("disable_ipv6", 1)] {
                let setting = format!("net.ipv6.conf.{dev}.{file}={value}");
                let line = format!("ip netns exec {ns} sysctl -qw {setting}");
                // A kernel without IPv6 has no such setting.
                let mut words = line.split(' ');
                let _ = Command::new(words.next().unwrap()).args(words).output();
            }
            tool(&format!("ip -n {ns} link set {dev} up"));
        }
    }

    pub(crate) fn pin_root(&self) -> PathBuf {
        self.dir.path().join("bpf")
    }

    pub(crate) fn pins(&self) -> PathBuf {
        self.pin_root().join("chains")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// An object of the test cases.
    pub(crate) fn object(name: &str) -> String {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
        cases.join(name).to_str().unwrap().to_owned()
    }

    /// `bpfweld xdp …` in the namespace; words that end in `.o` are objects of the cases.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(bpfweld());
        command.arg("xdp");
        for word in line.split(' ') {
            match word.ends_with(".o") {
                true => command.arg(Self::object(word)),
                false => command.arg(word),
            };
        }
        command.args(["--netns", &self.here]);
        command.env("BPFWELD_STATE_DIR", self.state()).env("BPFWELD_PIN_DIR", self.pins());
        // Where the tests have libxdp pin what it loads.
        command.env("LIBXDP_BPFFS", self.pin_root());
        command
    }

    pub(crate) fn output(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Puts a program on the interface as others do, by ip(8): `xdpdrv` or `xdpgeneric`.
    pub(crate) fn put_on(&self, interface: &str, how: &str, object: &str, section: &str) {
        let object = Self::object(object);
        tool(&format!("ip -n {} link set {interface} {how} obj {object} sec {section}", self.here));
    }

    /// Succeeds; what it says on both streams.
    pub(crate) fn does(&self, line: &str) -> String {
        let output = self.output(line);
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "xdp {line}: {text}");
        text.into_owned()
    }

    /// Fails with this exit status, and says this.
    pub(crate) fn fails(&self, line: &str, code: i32, says: &str) {
        let output = self.output(line);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "xdp {line}: {text}");
        assert!(text.contains(says), "xdp {line}: {text}");
    }

    /// What `status --json` says of an interface.
    pub(crate) fn status_of(&self, interface: &str) -> Value {
        let text = self.output(&format!("status {interface} --json")).stdout;
        let all: Value = serde_json::from_slice(&text).unwrap();
        all[0].clone()
    }

    /// Names of the chain's programs in the order in which they run.
    pub(crate) fn names(&self) -> Vec<String> {
        let status = self.status_of(HERE);
        let programs = status["programs"].as_array().unwrap();
        programs.iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What interfaces run, in short: `here0: first second[id=2]; here1: (foreign)`, nothing for those that run
    /// nothing. Names of programs with the variables that were set, in brackets somebody else's.
    pub(crate) fn shape(&self, interfaces: &[&str]) -> String {
        let of = |interface: &&str| {
            let status = self.status_of(interface);
            let program = status["program"]["name"].as_str()?;
            Some(match status["ours"] == true {
                true => format!("{interface}: {}", in_short(&status["programs"], "set")),
                false => format!("{interface}: ({program})"),
            })
        };
        let all: Vec<_> = interfaces.iter().filter_map(of).collect();
        all.join("; ")
    }

    /// What a rollback would lead to, as above; from the state, and without changing it.
    pub(crate) fn previous(&self, interfaces: &[&str]) -> String {
        let of = |interface: &&str| {
            let index = self.status_of(interface)["index"].as_u64()?;
            let chains = std::fs::read_dir(self.state()).unwrap().map(|e| e.unwrap().path());
            let of_it = |p: &PathBuf| p.to_str().unwrap().ends_with(&format!("-{index}"));
            let bytes = std::fs::read(chains.into_iter().find(of_it)?.join("previous")).ok()?;
            let state: Value = serde_json::from_slice(&bytes).unwrap();
            Some(format!("{interface}: {}", in_short(&state["members"], "sets")))
        };
        let all: Vec<_> = interfaces.iter().filter_map(of).collect();
        all.join("; ")
    }

    /// Does something with a chain whose state and pins are elsewhere: somebody else, to this one.
    pub(crate) fn elsewhere(&self, line: &str) -> String {
        let mut command = self.command(line);
        command.env("BPFWELD_STATE_DIR", self.temp("elsewhere"));
        command.env("BPFWELD_PIN_DIR", self.pin_root().join("elsewhere"));
        let output = command.output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "elsewhere, xdp {line}: {text}");
        text.into_owned()
    }

    /// Where a map of a program of the chain is pinned.
    pub(crate) fn map(&self, program: &str, map: &str) -> PathBuf {
        let status = self.status_of(HERE);
        let programs = status["programs"].as_array().unwrap();
        let found = programs.iter().find(|p| p["name"] == program).unwrap();
        let maps = found["maps"].as_array().unwrap();
        let pin = maps.iter().find(|m| m[0] == map).unwrap_or_else(|| panic!("{maps:?}"));
        PathBuf::from(pin[1].as_str().unwrap())
    }

    /// The value of an entry of a map of a program of the chain.
    pub(crate) fn value(&self, program: &str, map: &str, key: u32) -> u64 {
        self.value_at(program, map, key, 0)
    }

    /// The same, from an offset in bytes on.
    pub(crate) fn value_at(&self, program: &str, map: &str, key: u32, offset: usize) -> u64 {
        let sys: &dyn Sys = &RealSys;
        let fd = sys.pinned(&self.map(program, map)).unwrap();
        let size = sys.map_info(fd.as_fd()).unwrap().value_size as usize;
        let mut value = vec![0; size];
        sys.lookup(fd.as_fd(), &key.to_ne_bytes(), &mut value).unwrap();
        value.drain(..offset);
        value.resize(8, 0);
        u64::from_ne_bytes(value.try_into().unwrap())
    }

    /// Begins to answer every packet with itself.
    pub(crate) fn echo(&self) -> Role {
        Role::start(&self.here, "echo", &[])
    }

    /// Sends so many packets and waits for each to come back; how many did.
    pub(crate) fn send(&self, packets: u64) -> u64 {
        self.sender(packets, None).wait()
    }

    /// Sends so many packets, which the chain drops; how many came back all the same.
    pub(crate) fn send_in_vain(&self, packets: u64) -> u64 {
        let settings = [("PACKETS", packets.to_string()), ("PATIENCE", "1".to_owned())];
        Role::start(&self.there, "send", &settings).wait()
    }

    /// Begins to send at least so many packets, and goes on until there is such a file.
    pub(crate) fn sender(&self, packets: u64, until: Option<&Path>) -> Role {
        let until = until.map(|p| p.display().to_string()).unwrap_or_default();
        Role::start(&self.there, "send", &[("PACKETS", packets.to_string()), ("UNTIL", until)])
    }

    /// Pings the interface with the chain so many times; did all of them come back? `None`, and a word about
    /// it, where there is no ping(8).
    pub(crate) fn ping(&self, times: u32, seconds: u32) -> Option<bool> {
        let mut ping = Command::new("ip");
        ping.args(["netns", "exec", &self.there, "ping", "-q", "-i", "0.2"]);
        ping.args(["-c", &times.to_string(), "-W", &seconds.to_string(), ADDRESS]);
        let output = ping.output().unwrap();
        match output.status.code() {
            Some(0) => Some(true),
            Some(1) => Some(false),
            _ => {
                skip(&format!("ping: {}", String::from_utf8_lossy(&output.stderr)));
                None
            }
        }
    }

    /// Begins to answer on a TCP port, with what it gets.
    pub(crate) fn tcp_echo(&self) -> Role {
        Role::start(&self.here, "tcp_echo", &[])
    }

    /// Begins to send so many bytes over TCP and to compare what comes back.
    pub(crate) fn tcp_sender(&self, bytes: u64, until: &Path) -> Role {
        let until = until.display().to_string();
        Role::start(&self.there, "tcp_send", &[("PACKETS", bytes.to_string()), ("UNTIL", until)])
    }

    pub(crate) fn temp(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Nothing is left: no pin, no link, no state but the lock.
    pub(crate) fn nothing_is_left(&self) {
        let left = |dir: &Path| -> Vec<_> {
            let entries = std::fs::read_dir(dir).into_iter().flatten();
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!(self.status_of(HERE)["program"], Value::Null);
        assert!(left(&self.pins()).is_empty(), "{:?}", left(&self.pins()));
        assert_eq!(left(&self.state()), ["lock"]);
    }
}

/// Nothing is left behind: no program on an interface, no pin, no state; then no namespace and no mount.
impl Drop for World {
    fn drop(&mut self) {
        let left = (!std::thread::panicking()).then(|| self.left());
        for ns in [&self.here, &self.there] {
            let _ = Command::new("ip").args(["netns", "del", ns]).output();
        }
        let _ = Command::new("umount").arg(self.pin_root()).output();
        let Some(left) = left else { return };
        assert!(left.is_empty(), "left: {left:?}");
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        assert!(!mounts.contains(self.pin_root().to_str().unwrap()), "{mounts}");
        for ns in [&self.here, &self.there] {
            assert!(!Path::new("/run/netns").join(ns).exists(), "{ns} is left");
        }
    }
}

impl World {
    /// What a test has left.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        let text = self.output("status --json").stdout;
        let all: Value = serde_json::from_slice(&text).unwrap();
        let running = all.as_array().unwrap().iter().filter(|i| !i["program"].is_null());
        left.extend(running.map(ToString::to_string));
        let mut dirs = vec![self.pin_root(), self.state(), self.temp("elsewhere")];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                // What the kernel itself has on a BPF file system lists programs and maps; and ip(8) makes
                // directories on whichever it finds first.
                let ip = matches!(name, "ip" | "tc" | "xdp" | "globals") && path.is_dir();
                if !(name == "lock" || name.ends_with(".debug") || ip) {
                    left.push(path.display().to_string());
                }
                if path.is_dir() {
                    dirs.push(path);
                }
            }
        }
        left
    }
}

/// A helper process in a namespace: this test binary in another role.
pub(crate) struct Role(Child, BufReader<std::process::ChildStdout>);

impl Role {
    fn start(ns: &str, role: &str, settings: &[(&str, String)]) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", ns]).arg(own);
        command.args(["--exact", &format!("world::role_{role}"), "--nocapture"]);
        command.env("BPFWELD_TEST_ROLE", role);
        let settings = settings.iter().map(|(k, v)| (format!("BPFWELD_TEST_{k}"), v));
        let command = command.envs(settings).stdout(Stdio::piped()).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "{role} did not start");
        }
        Self(child, out)
    }

    /// How many packets came back.
    pub(crate) fn wait(mut self) -> u64 {
        let mut text = String::new();
        self.1.read_to_string(&mut text).unwrap();
        assert!(self.0.wait().unwrap().success(), "{text}");
        let number = text.split("came back: ").nth(1).and_then(|t| t.split_whitespace().next());
        number.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn setting(name: &str) -> String {
    std::env::var(format!("BPFWELD_TEST_{name}")).unwrap_or_default()
}

/// Answers every packet with itself, until its standard input ends or it is killed.
#[test]
fn role_echo() {
    if setting("ROLE").is_empty() {
        return; // Not a test: other tests start it in a namespace.
    }
    let socket = UdpSocket::bind((ADDRESS, PORT)).unwrap();
    println!("ready");
    let mut packet = [0; 64];
    loop {
        let (len, from) = socket.recv_from(&mut packet).unwrap();
        socket.send_to(&packet[..len], from).unwrap();
    }
}

/// Sends back what comes over TCP.
#[test]
fn role_tcp_echo() {
    if setting("ROLE").is_empty() {
        return; // As above.
    }
    let listener = TcpListener::bind((ADDRESS, PORT)).unwrap();
    println!("ready");
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut from = stream.try_clone().unwrap();
        std::io::copy(&mut from, &mut stream).unwrap();
    }
}

/// Sends blocks over TCP and wants each back as it was.
#[test]
fn role_tcp_send() {
    if setting("ROLE").is_empty() {
        return; // As above.
    }
    const BLOCK: usize = 16 << 10;
    let address = (ADDRESS.parse::<std::net::IpAddr>().unwrap(), PORT).into();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(60)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    println!("ready");
    let bytes: u64 = setting("PACKETS").parse().unwrap();
    let until = setting("UNTIL");
    let mut back = 0u64;
    while back < bytes || !Path::new(&until).exists() {
        let block: Vec<u8> = (0..BLOCK).map(|i| (back as usize + i * 7) as u8).collect();
        stream.write_all(&block).unwrap();
        let mut answer = vec![0; BLOCK];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer == block, "behind {back} bytes");
        back += BLOCK as u64;
    }
    println!("came back: {back}");
}

/// Sends numbered packets, a few at a time, and waits for each to come back.
#[test]
fn role_send() {
    if setting("ROLE").is_empty() {
        return; // As above.
    }
    const WINDOW: u64 = 32;
    // A machine that is busy with much else may take its time.
    const PATIENCE: u64 = 30;
    let patience = Duration::from_secs(setting("PATIENCE").parse().unwrap_or(PATIENCE));
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect((ADDRESS, PORT)).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    println!("ready");
    let packets: u64 = setting("PACKETS").parse().unwrap();
    let until = setting("UNTIL");
    let goes_on = |sent: u64| match until.is_empty() {
        true => sent < packets,
        false => sent < packets || !Path::new(&until).exists(),
    };
    let (mut sent, mut back, mut lost) = (0u64, 0u64, 0u64);
    let start = Instant::now();
    while (goes_on(sent) || back + lost < sent) && start.elapsed() < Duration::from_secs(300) {
        while sent - back - lost < WINDOW && (sent < packets || goes_on(sent)) {
            // Refused once nobody listens; then it is not the chain that loses packets.
            socket.send(&sent.to_ne_bytes()).unwrap();
            sent += 1;
            if !until.is_empty() && sent.is_multiple_of(WINDOW) {
                // Some 25,000 packets a second: the changes want a share of the processor, too.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        match socket.recv(&mut [0; 64]) {
            Ok(_) => back += 1,
            Err(_) => lost = sent - back,
        }
    }
    println!("came back: {back} of {sent}");
    if !until.is_empty() {
        assert_eq!(lost, 0, "{lost} of {sent} packets were lost");
    }
}
