//! Golden access matrices: for each bundled profile every action against every role, as the evaluator decides it.
//! Reviewed by eye once, compared for ever; `UPDATE=1 cargo test` writes them anew.

use std::{fs, path::Path};

use rollcall_access::{
    Profile,
    profile::{BUNDLED, Held, Own, Pseudo, Resource},
};

fn matrix(profile: &Profile) -> String {
    let roles: Vec<_> = profile.roles().collect();
    let width = profile.actions().map(|(name, _)| name.len()).max().unwrap_or_default().max(profile.name().len() + 8);
    let mut text = format!("{:width$}", format!("profile {}", profile.name()));
    for role in &roles {
        text.push_str(&format!("  {}", profile.role_name(*role)));
    }
    text.push('\n');
    for (name, action) in profile.actions() {
        let mut line = format!("{name:width$}");
        for role in &roles {
            // Some actions count only where the role was granted higher up: a plus says that they count somewhere.
            let counts = (0..=profile.project_level()).filter(|level| profile.grantable(*role, *level)).any(|level| {
                let resource = Resource { level, visibility: None, kind: None, own: Own::NotMine };
                let held = [Held { role: *role, level }];
                let switches = Default::default();
                profile.allowed(Pseudo::Authenticated, held.into_iter(), &resource, &switches).holds(action)
            });
            let sign = if counts { '+' } else { '.' };
            line.push_str(&format!("  {sign:^0$}", profile.role_name(*role).len()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[test]
fn what_each_role_may_do_is_what_was_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    for (name, _) in BUNDLED {
        let (file, text) = (folder.join(format!("access-{name}.txt")), matrix(&Profile::bundled(name).unwrap()));
        if std::env::var_os("UPDATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let reviewed = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(reviewed, text, "{}: look at the difference, then UPDATE=1", file.display());
    }
}
