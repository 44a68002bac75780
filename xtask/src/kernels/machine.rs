//! The virtual machine: qemu without KVM, so that it runs anywhere, inside a virtual machine too.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// What the kernel says while it boots and when it panics.
pub(super) const CONSOLE: &str = "console.log";
/// What the guest's script says.
pub(super) const OUTPUT: &str = "output.log";

/// A panic ends qemu (-no-reboot). The mitigations slow an emulated processor down for nothing. At random
/// addresses, qemu would translate every process anew: each command would take six times as long. On a busy
/// machine the kernel may find its timer not to work, and panic, if it checks.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 mitigations=off norandmaps no_timer_check \
                            random.trust_cpu=on";

/// Boots a kernel with an initramfs and waits until it powers off. The serial ports' output ends up in
/// [`CONSOLE`] and [`OUTPUT`], in `logs`. `more`: further arguments of qemu.
pub(super) fn boot(
    image: &Path,
    initrd: &Path,
    logs: &Path,
    limit: Duration,
    more: &[&str],
) -> Result<()> {
    for log in [CONSOLE, OUTPUT] {
        // Of an earlier run: must not be taken for this one's.
        File::create(logs.join(log)).with_context(|| logs.display().to_string())?;
    }
    let serial = |log: &str| format!("file:{}", logs.join(log).display());
    let child = Command::new("qemu-system-x86_64")
        .args(["-machine", "pc,accel=tcg", "-cpu", "qemu64,+rdrand", "-smp", "1", "-m", "2048"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(initrd)
        .args(["-append", COMMAND_LINE])
        .args(["-serial", &serial(CONSOLE), "-serial", &serial(OUTPUT)])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(logs.join("qemu.log"))?)
        .spawn()
        .context("qemu-system-x86_64")?;
    let mut machine = Machine { child };

    let begin = Instant::now();
    loop {
        if let Some(status) = machine.child.try_wait()? {
            if !status.success() {
                let said = std::fs::read_to_string(logs.join("qemu.log")).unwrap_or_default();
                bail!("qemu ended with {status}: {}", said.trim());
            }
            return Ok(());
        }
        if begin.elapsed() > limit {
            bail!(
                "it does not end within {} s (--timeout); its output is in {}",
                limit.as_secs(),
                logs.display()
            );
        }
        sleep(Duration::from_millis(100));
    }
}

/// A running qemu. Dropping it ends it.
struct Machine {
    child: Child,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Fails when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
