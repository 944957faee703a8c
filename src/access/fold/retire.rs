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
                for (ix, row) in (0_u32..).zip(&mut facts.$table.rows) {
                    if facts.$table.names.space(ix) == space {
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
        for (ix, register) in (0_u32..).zip(&mut facts.others.rows) {
            if facts.others.names.space(ix) == space {
                ended(register, facts.others.names.text(ix).to_owned());
            }
        }
        for pair in facts.mappings.iter_mut().filter(|pair| facts.packages.names.space(pair.left) == space) {
            let (package, product) = (facts.packages.names.text(pair.left), facts.products.names.text(pair.right));
            ended(&mut pair.register, pair_subject("package_product", package, product));
        }
        for pair in facts.assignments.iter_mut().filter(|pair| facts.entitlements.names.space(pair.left) == space) {
            let (entitlement, person) =
                (facts.entitlements.names.text(pair.left), facts.persons.names.text(pair.right));
            ended(&mut pair.register, pair_subject("entitlement_person", entitlement, person));
        }
        for member in facts.members.iter_mut().filter(|member| facts.groups.names.space(member.group) == space) {
            let (kind, id) = match member.holder {
                Holder::Person(ix) => ("person", facts.persons.names.text(ix)),
                Holder::Service(ix) => ("service", facts.services.names.text(ix)),
                Holder::Group(ix) => ("group", facts.groups.names.text(ix)),
            };
            ended(&mut member.register, member_subject(facts.groups.names.text(member.group), kind, id));
        }
        for (person, register) in
            facts.permissions.iter_mut().filter(|(ix, _)| facts.persons.names.space(**ix) == space)
        {
            let subject =
                pair_subject("permission", facts.persons.names.text(*person), "view_and_manage_download_packages");
            ended(register, subject);
        }
        for (ix, row) in (0_u32..).zip(&mut facts.accounts.rows) {
            if row.in_cycle() && !row.register.stands() {
                row.cycle = Some(Cycle { at: position, by: ix, closed: false });
            }
        }
        for ((_, subject), _) in facts.parked.extract_if((space, String::new()).., |(of, _), _| *of == space) {
            cx.changes.push(Change::Parked { source: name.clone(), subject: subject.into(), reason: None });
        }
        self.end_suspension(cx, space);
        self.emit_packages(cx, space);
        self.rebuild_fast_path();
        Effect::Applied
    }
}
