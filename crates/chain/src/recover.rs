//! Which of the remembered chains the interface runs, asked of the kernel; the rest is put away.

use std::os::fd::AsFd;

use bpfweld::kernel::netlink::Interface;
use bpfweld::kernel::sys::ObjectKind;
use bpfweld::link::chain_root::ROOT_NAME;

use crate::error::ChainError;
use crate::host::Chains;
use crate::state::{Files, Found, State, file};
use crate::swap::Attachment;

/// Is the program on the interface a chain, by what is pinned, though nothing is remembered of it?
fn is_orphan(host: &Chains<'_>, files: &Files, interface: &Interface, runs: u32) -> bool {
    if runs == 0 || !files.pins.exists() {
        return false;
    }
    if (Attachment { host, files, interface }).holds(runs) {
        return true;
    }
    // Over netlink there is no link, and the name has to do.
    let sys = host.sys();
    let info = sys.fd_by_id(ObjectKind::Prog, runs).and_then(|fd| sys.prog_info(fd.as_fd()));
    info.is_ok_and(|info| info.name == ROOT_NAME)
}

/// Puts the state of an interface straight. The states as they are then, and what there is to tell.
pub(crate) fn recover(
    host: &Chains<'_>,
    files: &Files,
    interface: &Interface,
) -> Result<(Found, Vec<String>), ChainError> {
    let sys = host.sys();
    let (_, runs) = interface.program();
    let mut notices = Vec::new();
    let mut found = files.read(sys)?;
    // Only then may there be what none of the states needs: a change sweeps before it comes to its end.
    let broken_off = found.next.is_some() || found.older.is_some() || files.is_begun();
    if found.all().next().is_none() && is_orphan(host, files, interface, runs) {
        let name = &interface.name;
        notices.push(format!(
            "{name}: it runs a chain (program id {runs}) whose state in {} is gone; `bpfweld xdp adopt {name}` \
             makes it the first program of a new chain, `bpfweld xdp unload {name} -a` takes it off",
            files.state.display()
        ));
        found.orphan = Some(runs);
        return Ok((found, notices));
    }
    if found.all().next().is_none() {
        files.sweep(sys, &found)?;
        host.forget_pins();
        return Ok((found, notices));
    }
    let foreign =
        |s: &State| s.boot != host.boot || s.netns != host.netns || s.ifindex != interface.index;
    let name = &interface.name;
    if let Some(state) = found.all().find(|s| foreign(s)) {
        let why = match state.boot == host.boot {
            true => "of another interface that had this index",
            false => "from before the machine was started",
        };
        notices.push(format!("{name}: the state of a chain {why} was put away"));
        found.all().for_each(|s| Attachment { host, files, interface }.let_go(s.program));
        host.forget(files)?;
        return Ok((Found::default(), notices));
    }
    if let Some(next) = found.next.take() {
        // A change was broken off. What the kernel runs says on which side of its one step.
        if next.program == runs && !next.members.is_empty() {
            files.step_back(sys)?;
            files.step_up(sys)?;
            Attachment { host, files, interface }.hold(next.program);
            // `current` may have been moved on by then.
            found = files.read(sys)?;
            notices.push(format!("{name}: a change that was broken off had been made; it stands"));
        } else if next.program == runs && next.members.is_empty() {
            notices.push(format!("{name}: the chain was being unloaded when that was broken off"));
            host.forget(files)?;
            return Ok((Found::default(), notices));
        } else {
            let path = files.next();
            sys.remove_file(&path).map_err(file("remove", &path))?;
            notices.push(format!("{name}: a change that was broken off had not been made yet"));
        }
    }
    if let Some(current) = &found.current {
        if current.program != runs {
            let what = match runs {
                0 => "taken off by somebody else, or the interface was made anew".to_owned(),
                id => format!("replaced by somebody else's program (id {id})"),
            };
            let programs = current.members.len();
            notices
                .push(format!("{name}: the chain of {programs} programs that was here was {what}"));
            host.forget(files)?;
            return Ok((Found::default(), notices));
        }
        if current.interface != *name {
            let old = &current.interface;
            notices
                .push(format!("{name}: the interface was called {old} when its chain was loaded"));
        }
    } else {
        host.forget(files)?;
        return Ok((Found::default(), notices));
    }
    if broken_off {
        files.sweep(sys, &found)?;
    }
    Ok((found, notices))
}
