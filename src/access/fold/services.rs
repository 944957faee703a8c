//! Services: made and removed. One that is made again begins empty.

use rollcall_events::body;

use crate::{
    commands::secrets::owner_of,
    fold::{change::Effect, context::FoldContext},
    roster::{
        Roster,
        facts::{Holder, MadeThing, Service, micros},
        register::{Rank, Register},
    },
};

impl Roster {
    pub(crate) fn set_service(&mut self, cx: &mut FoldContext<'_>, data: &body::Service) -> Effect {
        if let Err(refusal) = self.check_service(data, cx.now()) {
            return refusal.into();
        }
        let sources: Vec<u16> = data
            .sources
            .iter()
            .map(|source| u16::try_from(self.facts.sources.intern(0, source.as_str())).unwrap_or(u16::MAX))
            .collect();
        if !sources.is_empty() {
            self.know_sources();
        }
        let ends = micros(data.ends, i64::MAX);
        let author = data.author.as_ref().and_then(|author| self.resolve_author(author).ok().flatten());
        let author = author.and_then(owner_of);
        let ix = self.facts.services.intern(cx.space, data.service.as_str());
        let Some(slot) = self.facts.services.get_mut(ix) else { return Effect::NoChange };
        let mut register = slot.as_ref().map_or_else(Register::default, |row| row.register);
        let stood = register.stands() && slot.as_ref().is_some_and(|row| row.ends == ends);
        let effect = cx.update(&mut register, Rank::Full, "service");
        *slot = Some(Service { register, name: data.name.clone(), ends, sources, author });
        self.note_made_with(MadeThing::Service(ix), data.made_with.as_ref(), stood);
        effect
    }

    pub(crate) fn remove_service(&mut self, cx: &mut FoldContext<'_>, data: &body::ServiceRef) -> Effect {
        match self.check_service_removal(data, cx.now()) {
            Ok(ix) => {
                let row = self.facts.services.get_mut(ix).and_then(Option::as_mut);
                let effect = row.map_or(Effect::NoChange, |row| cx.update(&mut row.register, Rank::Removed, "service"));
                self.end_holder(cx, Holder::Service(ix));
                effect
            }
            Err(refusal) => refusal.into(),
        }
    }
}
