//! What a run is noted for, where somebody wants to know: functions entered and left, redirects.

use bpfweld_link::trace::{Detail, Event, RedirectSite, SNAPSHOT, Snapshot, TracePlan};
use bpfweld_object::ProgramType;

use crate::options::EngineOptions;
use crate::vm::{State, Vm};

impl<'a> Vm<'a> {
    /// A function that begins at this slot is entered.
    #[cold]
    pub(super) fn note_enter(&mut self, program: usize, pc: usize) {
        let Some((plan, image, function)) = self.watched(program, pc) else { return };
        if self.state.trace.room() {
            let packet = self.state.look(plan, image, function);
            self.state.trace.push(Event::Enter { image, function, packet });
        }
    }

    /// A function exits at this slot.
    #[cold]
    pub(super) fn note_exit(&mut self, program: usize, pc: usize, value: u64) {
        if std::mem::take(&mut self.silent) {
            return;
        }
        let Some((plan, image, function)) = self.watched(program, pc) else { return };
        if self.state.trace.room() {
            let packet = self.state.look(plan, image, function);
            self.state.trace.push(Event::Exit { image, function, value, packet });
        }
    }

    /// A helper was called at this slot.
    #[cold]
    pub(super) fn note_redirect(&mut self, program: usize, pc: usize, args: [u64; 5], result: u64) {
        let Some((image, place)) = indices(program, pc) else { return };
        let traced = self.options.trace.as_deref().and_then(|p| p.images.get(program));
        let site = traced.and_then(|t| Some((t.site_at(place)?, t)));
        let Some((index, traced)) = site else { return };
        let helper = traced.sites.get(index).map_or(0, |s| s.helper);
        let Some((target, flags)) = RedirectSite::registers(helper) else { return };
        let arg = |reg: u8| args.get(usize::from(reg).wrapping_sub(1)).copied().unwrap_or(0);
        if self.state.trace.room() {
            self.state.trace.push(Event::Redirect {
                image,
                site: u32::try_from(index).unwrap_or(u32::MAX),
                target: arg(target),
                flags: arg(flags),
                result,
            });
        }
    }

    fn watched(&self, program: usize, pc: usize) -> Option<(&'a TracePlan, u16, u32)> {
        let options: &'a EngineOptions = self.options;
        let plan = options.trace.as_deref()?;
        let (image, slot) = indices(program, pc)?;
        let traced = plan.images.get(program)?;
        let function = traced.function_at(slot)?;
        let watched = traced.functions.get(function)?.watched;
        watched.then_some((plan, image, u32::try_from(function).ok()?))
    }
}

fn indices(program: usize, pc: usize) -> Option<(u16, u32)> {
    Some((u16::try_from(program).ok()?, u32::try_from(pc).ok()?))
}

impl State {
    /// The packet as it is now, where the plan wants it.
    fn look(&self, plan: &TracePlan, image: u16, function: u32) -> Option<Snapshot> {
        if !plan.has_packet(image, function) {
            return None;
        }
        let packet = &self.packet;
        let xdp = packet.kind == ProgramType::XDP;
        let taken = match plan.detail {
            Detail::Bytes => packet.len().min(SNAPSHOT as usize),
            _ => 0,
        };
        // Where only lengths are told, a program sees those of the first buffer.
        let len = match plan.detail {
            Detail::Lengths if xdp => packet.linear_end - packet.data,
            _ => packet.len(),
        };
        Some(Snapshot {
            address: if xdp { packet.data as u64 } else { 0 },
            len: u32::try_from(len).unwrap_or(u32::MAX),
            metadata: if xdp { (packet.data - packet.meta) as u32 } else { 0 },
            bytes: packet.bytes(&self.memory, 0, taken).unwrap_or_default().to_vec(),
        })
    }
}
