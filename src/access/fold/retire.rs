//! The end of a source: every fact that it ever said ends, and nothing that it says later takes effect.

use rollcall_events::body::{SourceRef, member_subject, pair_subject};

use crate::{
    fold::{
        change::{Change, Effect},
        context::FoldContext,
        suspend::said_of,
    },
    roster::{
        Roster,
        facts::{Cycle, Holder},
        register::Register,
    },
};

impl Roster {
    /// Ends every fact of a source, for ever.
    pub(crate) fn retire_source(&mut self, cx: &mut FoldContext<'_>, data: &SourceRef) -> Effect {
        let source = data.source.as_str();
        let Some(space) = self.facts.sources.find(0, source).and_then(|ix| u16::try_from(ix).ok()) else {
            return Effect::Refused(format!("no source `{source}` has recorded anything"));
        };
        if cx.record.event.key.source.as_str() == source {
            return Effect::Refused("`local` cannot be retired".into());
        }
        let name = data.source.clone();
        if self.facts.retired.contains_key(&space) {
            return Effect::NoChange;
        }
        self.facts.retired.insert(space, said_of(cx, data));
        let position = cx.position();
        let mut ended = |register: &mut Register, subject: String| {
            if register.stands() {
                cx.changes.push(Change::FactEnded { source: name.clone(), subject: subject.into() });
            }
            register.retire(position);
        };
        let facts = &mut self.facts;
        macro_rules! rows {
            ($($noun:literal in $table:ident),*) => {$(
                for ix in (0..facts.$table.len()).filter(|ix| facts.$table.names.space(*ix) == space) {
                    if let Some(row) = facts.$table.rows.get_mut(ix as usize) {
                        ended(&mut row.register, format!(concat!($noun, "/{}"), facts.$table.names.text(ix)));
                    }
                }
            )*};
        }
        rows!(
            "account" in accounts,
            "person" in persons,
            "product" in products,
            "package" in packages,
            "entitlement" in entitlements,
            "line" in lines,
            "group" in groups
        );
        for ix in (0..facts.others.len()).filter(|ix| facts.others.names.space(*ix) == space) {
            if let Some(register) = facts.others.rows.get_mut(ix as usize) {
                ended(register, facts.others.names.text(ix).to_owned());
            }
        }
        // Only what is of the source is taken to be changed: what is shared with a view is copied.
        for pair in facts.mappings.change_those(|pair| facts.packages.names.space(pair.left) == space) {
            let (package, product) = (facts.packages.names.text(pair.left), facts.products.names.text(pair.right));
            ended(&mut pair.register, pair_subject("package_product", package, product));
        }
        for pair in facts.assignments.change_those(|pair| facts.entitlements.names.space(pair.left) == space) {
            let (entitlement, person) =
                (facts.entitlements.names.text(pair.left), facts.persons.names.text(pair.right));
            ended(&mut pair.register, pair_subject("entitlement_person", entitlement, person));
        }
        for member in facts.members.change_those(|member| facts.groups.names.space(member.group) == space) {
            let (kind, id) = match member.holder {
                Holder::Person(ix) => ("person", facts.persons.names.text(ix)),
                Holder::Service(ix) => ("service", facts.services.names.text(ix)),
                Holder::Group(ix) => ("group", facts.groups.names.text(ix)),
            };
            ended(&mut member.register, member_subject(facts.groups.names.text(member.group), kind, id));
        }
        let permitted = facts.permissions.keys().copied();
        for person in permitted.filter(|ix| facts.persons.names.space(*ix) == space).collect::<Vec<_>>() {
            let subject =
                pair_subject("permission", facts.persons.names.text(person), "view_and_manage_download_packages");
            facts.permissions.update(person, |register| ended(register, subject));
        }
        for ix in 0..facts.accounts.len() {
            if facts.accounts.get(ix).is_some_and(|row| row.in_cycle() && !row.register.stands())
                && let Some(row) = facts.accounts.get_mut(ix)
            {
                row.cycle = Some(Cycle { at: position, by: ix, closed: false });
            }
        }
        let parked = facts.parked.range((space, String::new())..).map(|(key, _)| key);
        let parked: Vec<_> = parked.take_while(|(of, _)| *of == space).cloned().collect();
        for (of, subject) in parked {
            self.set_parked((of, subject.clone()), None);
            cx.changes.push(Change::Parked { source: name.clone(), subject: subject.into(), reason: None });
        }
        self.end_suspension(cx, space);
        self.emit_packages(cx, space);
        self.rebuild_fast_path();
        Effect::Applied
    }
}
