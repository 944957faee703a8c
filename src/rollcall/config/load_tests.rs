//! The configuration, case by case: what is refused, where, and what is in force.

use std::{io, path::Path};

use rollcall_events::Order;
use secrecy::ExposeSecret;

use crate::{
    config::{
        effective::effective,
        load::{Inputs, Loaded, load},
        merge::FlagValue,
        origin::Origin,
        reference::{reference, schema},
        schema::{general_keys, source_keys},
    },
    sources::KINDS,
};

const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn read(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("etc/flexnet.secret") => Ok(format!("{SECRET}\n")),
        Some("etc/two.secret") => Ok(format!("{SECRET}\n\nwhsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n")),
        Some("etc/empty.secret") => Ok("\n \n".into()),
        Some("etc/short.secret") => Ok("whsec_c2hvcnQ=".into()),
        Some("etc/own.toml") => {
            let text = "schema = 1\nname = \"own\"\nlevels = [\"root\", \"project\"]\n[settings.\"half.open\"]\nvalues = [\"yes\", \"no\"]\n\
                        default = \"no\"\n[roles.Guest]\nat = [\"project\"]\nactions = [\"image.pull\"]\n";
            Ok(text.into())
        }
        Some("etc/plain.secret") => Ok("hunter2hunter2hunter2hunter2".into()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    }
}

fn with(file: &str, env: &[(&str, &str)], flags: &[(&str, &str, &'static str)]) -> Result<Loaded, Vec<String>> {
    let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let flags: Vec<_> =
        flags.iter().map(|(key, value, flag)| FlagValue { key: (*key).into(), value: (*value).into(), flag }).collect();
    load(&Inputs { file: Some((Path::new("etc/rollcall.toml"), file)), env: &env, flags: &flags, read: &read })
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn every_mistake_is_refused_at_its_place_with_what_would_be_right() {
    const FLEXNET: &str = "[source.flexnet]\nsecret_file = \"flexnet.secret\"\n";
    let table: &[(&str, &str, &str)] = &[
        // file, where, what
        (
            "[token]\nttl = \"5m\"\ntll = \"5m\"\n",
            "etc/rollcall.toml:3:1",
            "unknown key `token.tll`; the nearest is `token.ttl`",
        ),
        ("[tokn]\nttl = \"5m\"\n", "etc/rollcall.toml:1:2", "unknown key `tokn`; the nearest is `token`"),
        ("ttl = \"5m\"\n", "etc/rollcall.toml:1:1", "unknown key `ttl`"),
        ("[token]\n  ttl = \"10m\"\n", "etc/rollcall.toml:2:3", "10m is not between 1m and 5m"),
        ("[token]\nttl = \"30s\"\n", "etc/rollcall.toml:2:1", "30s is not between 1m and 5m"),
        ("[token]\nttl = 300\n", "etc/rollcall.toml:2:1", "`token.ttl`: a"),
        ("[token]\nttl = \"300\"\n", "etc/rollcall.toml:2:1", "`300` is not a duration"),
        ("[token]\nalgorithm = \"HS256\"\n", "etc/rollcall.toml:2:1", "expected `ES256` or `RS256`"),
        ("[token]\nissuer = \"\"\n", "etc/rollcall.toml:2:1", "1 to 256 characters"),
        ("[token]\ndenial = \"loud\"\n", "etc/rollcall.toml:2:1", "expected one of `auto`, `explain`, `standard`"),
        ("[token]\nregistry = \"https://r.test\"\n", "etc/rollcall.toml:2:1", "is no registry as clients name one"),
        ("[token]\nregistry = \"r.test/acme\"\n", "etc/rollcall.toml:2:1", "is no registry as clients name one"),
        ("[server]\nlisten = \"8080\"\n", "etc/rollcall.toml:2:1", "an address with its port"),
        ("[server]\npublic_url = \"rollcall.test\"\n", "etc/rollcall.toml:2:1", "is not an address"),
        (
            "[server]\npublic_url = \"https://bob:hunter2@rollcall.test/\"\n",
            "etc/rollcall.toml:2:1",
            "has a user or a password before its host",
        ),
        (
            "[server]\npublic_url = \"bob:hunter2@rollcall.test\"\n",
            "etc/rollcall.toml:2:1",
            "has a user or a password before its host",
        ),
        (
            "[source.corp]\nkind = \"ldap\"\npeople = \"dc=x\"\nurl = \"ldaps://bob:hunter2@dc1.test\"\n",
            "etc/rollcall.toml:4:1",
            "has no user and no password in it",
        ),
        ("[server]\nmax_body = \"1GiB\"\n", "etc/rollcall.toml:2:1", "1GiB is not between 1B and 64MiB"),
        (
            "[source.p]\nkind = \"mapped\"\nauthentication = \"none\"\n[[source.p.map]]\nignore = true\n[[source.p.map]]\n\
             emit = \"product.upserted\"\nfields.prodct = \"payload.a\"\n",
            "etc/rollcall.toml:8:8",
            "`source.p.map.1.fields.prodct`: `product.upserted` has no `prodct`, did you mean `product`?",
        ),
        (
            "[source.p]\nkind = \"mapped\"\nauthentication = \"none\"\nrequire = [\"true\",\n  \"paylod.a\"]\n[[source.p.map]]\n\
             ignore = true\n",
            "etc/rollcall.toml:5:3",
            "`source.p.require.1`: at character 1: there is no variable `paylod`, did you mean `payload`?",
        ),
        (
            "[source.p]\nkind = \"mapped\"\nauthentication = \"none\"\n[[source.p.map]]\nwen = \"true\"\nemit = 1\n",
            "etc/rollcall.toml:5:1",
            "`source.p.map.0.wen`: a rule has no such key; the nearest is `when`",
        ),
        (
            "[source.p]\nkind = \"mapped\"\nauthentication = \"none\"\nmap = \"x\"\n",
            "etc/rollcall.toml:4:1",
            "rules are tables",
        ),
        (
            "[source.p]\nkind = \"mapped\"\nauthentication = \"none\"\nsecret_file = \"flexnet.secret\"\n[[source.p.map]]\n\
             ignore = true\n",
            "etc/rollcall.toml:4:1",
            "nothing is asked for, this secret neither",
        ),
        (
            "[source.p]\nkind = \"mapped\"\nauthentication = \"basic\"\nsecret_file = \"plain.secret\"\n[[source.p.map]]\n\
             ignore = true\n",
            "etc/rollcall.toml:4:1",
            "line 1 is not `user:password`",
        ),
        ("[server]\nmax_connections = 0\n", "etc/rollcall.toml:2:1", "at least 1"),
        ("[server]\ntrusted_proxies = [\"10.0.0.0/8\"]\n", "etc/rollcall.toml:2:1", "say how they name the client"),
        (
            "[server]\nclient_header = \"X-Forwarded-For\"\n",
            "etc/rollcall.toml:2:1",
            "nobody is believed without `trusted_proxies`",
        ),
        ("[server]\nproxy_protocol = true\n", "etc/rollcall.toml:2:1", "nobody is believed without `trusted_proxies`"),
        (
            "[server]\nclient_header = \"Forwarded\"\ntrusted_proxies = [\"0.0.0.0/1\", \"128.0.0.0/1\"]\n",
            "etc/rollcall.toml:3:1",
            "`128.0.0.0/1` is too much to trust",
        ),
        (
            "[server]\nclient_header = \"Forwarded\"\ntrusted_proxies = \"proxy\"\n",
            "etc/rollcall.toml:3:1",
            "`proxy` is no address or network",
        ),
        (
            "[server]\nclient_header = \"for: me\"\ntrusted_proxies = \"10.0.0.7\"\n",
            "etc/rollcall.toml:2:1",
            "`for: me` is no name of a header",
        ),
        ("[server]\nlisten = \"localhost:80\"\n", "etc/rollcall.toml:2:1", "an address with its port, as in"),
        ("[token]\nalgorithm = \"HS256\"\n", "etc/rollcall.toml:2:1", "unknown value `HS256`, expected `ES256`"),
        ("[server]\nmax_connections = -1\n", "etc/rollcall.toml:2:1", "a whole number without quotes"),
        (
            "[access]\ncustomer_sub_accounts = \"yes\"\n",
            "etc/rollcall.toml:2:1",
            "true or false, without quotes; a text is there",
        ),
        ("[access]\nswitches = \"x\"\n", "etc/rollcall.toml:2:1", "`access.switches` is a section"),
        (
            "[access]\nproject_creation_restrictions = \"adminonly\"\n",
            "etc/rollcall.toml:2:1",
            "`project_creation_restriction` is a switch of the profile `harbor`; write it in `[access.switches]`",
        ),
        (
            "[access.project_creation_restrictions]\nvalue = \"adminonly\"\n",
            "etc/rollcall.toml:",
            "`project_creation_restriction` is a switch of the profile `harbor`; write it in `[access.switches]`",
        ),
        ("[log]\nlevel = \"loud\"\n", "etc/rollcall.toml:2:1", "one of error, warn, info"),
        ("token = 1\n", "etc/rollcall.toml:1:1", "`token` is a section, not a value: write `[token]`"),
        ("[token\nttl = \"5m\"\n", "etc/rollcall.toml:1", "this is not TOML"),
        ("[token]\nttl = \"5m\"\nttl = \"4m\"\n", "etc/rollcall.toml:3:1", "this is not TOML: duplicate key"),
        ("[source.flexnet]\nkind = \"entitlements\"\n", "etc/rollcall.toml:1:9", "the source has no secret"),
        (
            "[source.corp]\nkind = \"ldap\"\npeople = \"dc=x\"\nurl = \"ldaps://dc1.test\"\nsign_in_domains = \"@ex.test\"\n",
            "etc/rollcall.toml:5:1",
            "`@ex.test` is no domain",
        ),
        (
            "[source.flexnet]\nsecret = \"whsec_x\"\n",
            "etc/rollcall.toml:2:1",
            "a secret does not stand in the configuration",
        ),
        ("[source.flexnet]\nsecret_file = \"gone.secret\"\n", "etc/rollcall.toml:2:1", "cannot be read: no such file"),
        ("[source.flexnet]\nsecret_file = \"empty.secret\"\n", "etc/rollcall.toml:2:1", "there is no secret"),
        ("[source.flexnet]\nsecret_file = \"short.secret\"\n", "etc/rollcall.toml:2:1", "line 1 is not a secret"),
        ("[source.flexnet]\nsecret_file = \"plain.secret\"\n", "etc/rollcall.toml:2:1", "line 1 is not a secret"),
        (
            "[source.local]\nsecret_file = \"flexnet.secret\"\n",
            "etc/rollcall.toml:1:9",
            "`local` is Rollcall's own source",
        ),
        ("[source.Flex]\nsecret_file = \"flexnet.secret\"\n", "etc/rollcall.toml:1:9", "is not a source name"),
        (
            "[source.a-b]\nsecret_file = \"flexnet.secret\"\n[source.a_b]\nsecret_file = \"flexnet.secret\"\n",
            "etc/rollcall.toml:3:9",
            "have the same name in the environment",
        ),
        (
            "[source.flexnet]\nsecret_file = \"flexnet.secret\"\nodrer = \"time\"\n",
            "etc/rollcall.toml:3:1",
            "the nearest is `source.flexnet.order`",
        ),
        (
            "[source.flexnet]\nsecret_file = \"flexnet.secret\"\norder = \"newest\"\n",
            "etc/rollcall.toml:3:1",
            "expected one of `version`, `time`, `observed`",
        ),
        (
            "[source.corp]\nkind = \"ldap\"\nformat = \"cloudevents\"\n",
            "etc/rollcall.toml:3:1",
            "`source.corp.format` is a key of sources of kind `entitlements`; this source is of another kind",
        ),
        (
            "[source.corp]\nurls = \"ldaps://dc1.test\"\nkind = \"ldap\"\n",
            "etc/rollcall.toml:2:1",
            "unknown key `source.corp.urls`; the nearest is `source.corp.url`",
        ),
        (
            "[source.flexnet]\nsecret_file = \"flexnet.secret\"\nurl = \"ldaps://dc1.test\"\n",
            "etc/rollcall.toml:3:1",
            "`source.flexnet.url` is a key of sources of kind `ldap`; this source is of another kind",
        ),
        (
            "[source.corp]\nurl = \"ldaps://dc1.test\"\nkind = \"ldpa\"\n",
            "etc/rollcall.toml:3:1",
            "`source.corp.kind`: unknown kind `ldpa`, expected one of `entitlements`, `ldap`, `mapped`",
        ),
        (
            "[source.corp]\nkind = \"ldap\"\nurl = \"ldaps://dc1.test\"\npeople = \"ou=people,dc=test\"\npoll = \"1d\"\n\
             schedule = \"often\"\n",
            "etc/rollcall.toml:6:1",
            "`source.corp.schedule`:",
        ),
        (
            "[source.corp]\nkind = \"ldap\"\nurl = \"ldaps://dc1.test\"\npeople = \"ou=people,dc=test\"\npoll = \"1d\"\n\
             schedule = \"often\"\n",
            "etc/rollcall.toml:5:1",
            "`source.corp.poll`: 1d is not between 100ms and 1h",
        ),
        (
            "[source.corp]\nkind = \"ldap\"\npage_size = \"many\"\nguard = \"no\"\n",
            "etc/rollcall.toml:4:1",
            "`source.corp.guard`: true or false, without quotes; a text is there",
        ),
        (
            "[source.corp]\nkind = \"ldap\"\npage_size = \"many\"\nguard = \"no\"\n",
            "etc/rollcall.toml:3:1",
            "`source.corp.page_size`: a whole number without quotes, such as 10; a text is there",
        ),
        ("[access]\nconsumer_role = \"Gast\"\n", "etc/rollcall.toml:2:1", "the profile `revenera` has no role `Gast`"),
        ("[access]\nprofile = \"gone.toml\"\n", "etc/rollcall.toml:2:1", "nor a file that can be read"),
        ("[access]\nconsumer_role = \"developer\"\n", "etc/rollcall.toml:2:1", "may push"),
        (
            "[access]\nconsumer_role = \"Developer\"\nconfirm_consumer_role = \"Guest\"\n",
            "etc/rollcall.toml:2:1",
            "confirm_consumer_role = \"Developer\"",
        ),
    ];
    for (file, place, what) in table {
        let problems = with(file, &[], &[]).err().unwrap_or_default();
        assert!(
            problems.iter().any(|problem| problem.starts_with(place) && problem.contains(what)),
            "{file}\nshould say {place} ... {what}, says\n{problems:#?}"
        );
        assert!(!problems.concat().contains("hunter2"), "a password is repeated: {problems:#?}");
    }
    assert!(with(FLEXNET, &[], &[]).is_ok());
}

#[test]
fn a_source_that_is_only_named_is_a_mistake_unless_the_log_knows_it() {
    let file = "[source.corp]\nkind = \"ldap\"\npeople = \"dc=x\"\nurl = \"ldaps://dc1.test\"\nlinks = { flexnt = \"employeeNumber\" }\n";
    let Ok(loaded) = with(file, &[], &[]) else { panic!("only the log knows") };
    let [(name, problem)] = loaded.named_only.as_slice() else { panic!("{:?}", loaded.named_only) };
    assert_eq!(name.as_str(), "flexnt");
    assert!(
        problem.to_string().contains("etc/rollcall.toml:5:1: `source.corp.links`: there is no source `flexnt`"),
        "{problem}"
    );
}

#[test]
fn every_problem_is_told_not_only_the_first() {
    let file = "[token]\nttl = \"1h\"\nalgorithm = \"none\"\nx = 1\n[source.flexnet]\n[server]\nlisten = \"here\"\n";
    let problems =
        with(file, &[("ROLLCALL__TOKEN__DENIAL", "never"), ("ROLLCALL__LOGS__LEVEL", "info")], &[]).err().unwrap();
    assert_eq!(problems.len(), 7, "{problems:#?}");
}

#[test]
fn a_secret_that_cannot_be_read_hides_no_other_mistake_of_its_source() {
    let file = "[source.corp]\nkind = \"ldap\"\nschedule = \"often\"\nrevoke_after = \"5m\"\npage_size = 0\n\
                url = \"ldaps://dc1.test\"\npeople = \"ou=people,dc=test\"\nbind_dn = \"cn=x\"\n\
                unused_attributes = [\"SHADOWexpire\", \"mail\"]\n\
                secret_file = \"gone.secret\"\n[source.flexnet]\nsecret_file = \"gone.secret\"\nmax_body = \"65MiB\"\n";
    let problems = with(file, &[], &[]).err().unwrap();
    for key in [
        "corp.schedule",
        "corp.revoke_after",
        "corp.page_size",
        "corp.unused_attributes",
        "corp.secret_file",
        "flexnet.secret_file",
        "flexnet.max_body",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(&format!("`source.{key}`"))), "{key}: {problems:#?}");
    }
    assert_eq!(problems.len(), 7, "{problems:#?}");
}

#[test]
fn the_order_is_default_file_environment_flag_and_each_value_says_where_it_came_from() {
    let file = "[server]\ndata_dir = \"/file\"\nlisten = \"127.0.0.1:1\"\n[token]\nttl = \"2m\"\n";
    let env = [
        ("ROLLCALL__SERVER__DATA_DIR", "/env"),
        ("ROLLCALL__SERVER__LISTEN", "127.0.0.1:2"),
        ("ROLLCALL__SERVER__MAX_CONNECTIONS", "7"),
    ];
    let loaded = with(file, &env, &[("server.data_dir", "/flag", "--data-dir")]).ok().unwrap();
    assert_eq!(loaded.config.server.data_dir, Path::new("/flag"));
    assert_eq!(loaded.config.server.listen.port(), 2);
    assert_eq!(loaded.config.server.max_connections, 7);
    let rows = effective(&loaded);
    let of = |key: &str| rows.iter().find(|(name, ..)| name == key).map(|(_, _, origin)| origin.to_string()).unwrap();
    assert_eq!(of("server.data_dir"), "--data-dir");
    assert_eq!(of("server.listen"), "environment ROLLCALL__SERVER__LISTEN");
    assert_eq!(of("token.ttl"), "etc/rollcall.toml:5:1");
    assert_eq!(of("token.issuer"), "default");
}

#[test]
fn the_environment_reaches_every_key_and_names_sources_without_regard_to_dash_and_case() {
    let file = "[source.corp-flex]\nsecret_file = \"flexnet.secret\"\n";
    let loaded = with(file, &[("ROLLCALL__SOURCE__CORP_FLEX__ORDER", "time")], &[]).ok().unwrap();
    assert_eq!(loaded.config.source[&"corp-flex".parse().unwrap()].order(), Order::Time);

    let alone = [("ROLLCALL__SOURCE__FLEXNET__SECRET", SECRET), ("ROLLCALL__SOURCE__FLEXNET__AUTHORITATIVE", "true")];
    let loaded = with("", &alone, &[]).ok().unwrap();
    let name = "flexnet".parse().unwrap();
    assert!(loaded.config.source[&name].authoritative());
    assert_eq!(loaded.secrets[&name].expose_secret(), SECRET);

    let twice = [("ROLLCALL__SOURCE__CORP_FLEX__ORDER", "time"), ("ROLLCALL__SOURCE__corp-flex__ORDER", "version")];
    let problems = with(file, &twice, &[]).err().unwrap();
    assert!(problems[0].contains("and so does ROLLCALL__SOURCE__CORP_FLEX__ORDER"), "{problems:?}");

    let both = [("ROLLCALL__SOURCE__CORP_FLEX__SECRET", SECRET)];
    assert!(with(file, &both, &[]).err().unwrap()[0].contains("given twice"));
}

#[test]
fn every_key_can_be_said_in_the_environment() {
    let of_kinds = KINDS.iter().flat_map(|kind| source_keys(kind).into_iter().map(|key| (key, kind.name)));
    for (key, kind) in general_keys().into_iter().map(|key| (key, KINDS[0].name)).chain(of_kinds) {
        let name = format!("ROLLCALL__{}", key.path.join("__").replace('*', "x").to_uppercase());
        let file = format!("[source.x]\nkind = \"{kind}\"\n");
        let problems = with(&file, &[(&name, "\u{1}")], &[]).err().unwrap_or_default();
        assert!(!problems.iter().any(|problem| problem.contains("unknown key")), "{name}: {problems:?}");
    }
}

#[test]
fn the_secret_of_a_source_is_the_first_line_and_earlier_ones_follow() {
    let loaded = with("[source.flexnet]\nsecret_file = \"two.secret\"\n", &[], &[]).ok().unwrap();
    let secrets = &loaded.secrets[&"flexnet".parse().unwrap()];
    assert!(secrets.expose_secret().starts_with(SECRET));
    let shown = format!("{:?}", effective(&loaded));
    assert!(shown.contains("***") && !shown.contains("whsec_"), "{shown}");
}

#[test]
fn a_role_is_found_whatever_its_spelling_and_a_pushing_customer_needs_a_second_word() {
    assert!(with("[access]\nproducer_role = \"dev-eloper\"\nconsumer_role = \"GUEST\"\n", &[], &[]).is_ok());
    assert!(with("[access]\nconsumer_role = \"Developer\"\nconfirm_consumer_role = \"developer\"\n", &[], &[]).is_ok());
}

#[test]
fn every_bundled_profile_starts_by_its_name_alone_and_an_entitlements_source_asks_for_the_roles_that_it_lacks() {
    for (name, _) in rollcall_access::profile::BUNDLED {
        assert!(with(&format!("[access]\nprofile = \"{name}\"\n"), &[], &[]).is_ok(), "{name}");
    }
    let text = "[access]\nprofile = \"ibm\"\n[source.flexnet]\nsecret_file = \"two.secret\"\n";
    let problems = with(text, &[], &[]).err().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains(":2:1: `access.profile`"), "{problems:?}");
    assert!(problems[0].contains("write `access.producer_role` = one of Administrator, Editor"), "{problems:?}");
    assert!(with(&text.replace("[source", "producer_role = \"Manager\"\n[source"), &[], &[]).is_ok());
    let said = with("[access]\nprofile = \"ibm\"\nproducer_role = \"Chief\"\n", &[], &[]).err().unwrap();
    assert!(said[0].contains("`access.producer_role`: the profile `ibm` has no role `Chief`"), "{said:?}");
}

#[test]
fn an_empty_file_is_a_whole_configuration() {
    let loaded = with("", &[], &[]).ok().unwrap();
    assert_eq!(loaded.config, crate::config::Config::default());
    assert_eq!(loaded.origins.of("token.ttl"), Origin::Default);
}

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn same_as_file(path: &str, text: &str) {
    let path = repository(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "{}: run with UPDATE=1", path.display());
}

/// `UPDATE=1 cargo test -p rollcall` rewrites both.
#[test]
fn the_schema_and_the_reference_are_the_types() {
    same_as_file("../../schemas/config.json", &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
    same_as_file("CONFIGURATION.md", &reference());
}

#[test]
fn the_example_file_loads_and_fits_the_schema() {
    let text = std::fs::read_to_string(repository("rollcall.example.toml")).unwrap();
    let loaded = with(&text, &[], &[]).map_err(|problems| problems.join("\n")).map(|loaded| loaded.config.source.len());
    assert_eq!(loaded, Ok(1));
    let value: serde_json::Value = serde_json::to_value(toml::from_str::<toml::Value>(&text).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema()).unwrap();
    assert!(
        validator.is_valid(&value),
        "{:?}",
        validator.iter_errors(&value).map(|e| e.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn a_key_of_a_source_is_known_by_its_kind_wherever_the_kind_is_said() {
    let keys = "[source.corp]\nurl = \"ldaps://dc1.test\"\npeople = \"ou=people,dc=test\"\n";
    let by_env = with(keys, &[("ROLLCALL__SOURCE__CORP__KIND", "ldap")], &[]);
    assert!(by_env.is_ok_and(|loaded| loaded.sources[&"corp".parse().unwrap()].pull.is_some()));
    assert!(with(keys, &[], &[("source.corp.kind", "ldap", "--demo")]).is_ok());
    assert!(with(keys, &[], &[]).err().unwrap()[0].contains("is a key of sources of kind"));
}

const PORTUS: &str = "[access]\nprofile = \"portus\"\n[access.switches]\n";
const SREGISTRY: &str = "[access]\nprofile = \"sregistry\"\nproducer_role = \"admin\"\n[access.switches]\n";

/// What each switch of the configuration says.
fn switches(loaded: &Loaded) -> Vec<(&str, &str)> {
    loaded.config.access.switches.iter().map(|(name, value)| (name.as_str(), value.0.as_str())).collect()
}

#[test]
fn an_unknown_switch_or_value_is_refused_at_its_place_with_the_nearest_and_all_that_would_be_right() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "push_polcy = \"admin-only\"\n",
            "etc/rollcall.toml:4:1",
            &[
                "`access.switches.push_polcy`: the profile `portus` has no switch `push_polcy`",
                "did you mean `push_policy`",
                "push_policy (allow-teams, allow-personal, admin-only)",
            ],
        ),
        (
            "  push_policy = \"admin_onyl\"\n",
            "etc/rollcall.toml:4:3",
            &[
                "`push_policy` cannot be `admin_onyl`",
                "allow-teams, allow-personal, admin-only",
                "did you mean `admin-only`",
            ],
        ),
        (
            "project_creation_restriction = \"adminonly\"\n",
            "etc/rollcall.toml:4:1",
            &["the profile `portus` has no switch `project_creation_restriction`", "it is one of the profile `harbor`"],
        ),
        (
            "project_creation_restrictions = \"adminonly\"\n",
            "etc/rollcall.toml:4:1",
            &["`project_creation_restriction` of the profile `harbor`"],
        ),
        ("\"push.policy\" = [1]\n", "etc/rollcall.toml:4:1", &["`access.switches.push.policy`", "expected a text"]),
        ("push_policy.x = \"y\"\n", "etc/rollcall.toml:4:1", &["`access.switches.push_policy`", "expected a text"]),
        (
            "push_policy = \"admin-only\"\nPush-Policy = \"allow-teams\"\n",
            "etc/rollcall.toml:",
            &["`push_policy` is said twice"],
        ),
    ];
    for (line, place, told) in table {
        let problems = with(&format!("{PORTUS}{line}"), &[], &[]).err().unwrap_or_default();
        assert!(
            problems.iter().any(|problem| problem.starts_with(place) && told.iter().all(|what| problem.contains(what))),
            "{line}should say {place} {told:?}, says\n{problems:#?}"
        );
        assert_eq!(problems.len(), 1, "{line}{problems:#?}");
    }
    let none = with("[access.switches]\npush_policy = \"admin-only\"\n", &[], &[]).err().unwrap();
    assert!(none[0].contains("the profile `revenera` has no switches") && none[0].contains("`portus`"), "{none:?}");
}

#[test]
fn a_switch_is_found_whatever_its_case_and_dashes_in_the_file_and_by_a_variable_and_shown_as_the_profile_writes_it() {
    let loaded = with(&format!("{PORTUS}Push-Policy = \"Admin_Only\"\n"), &[], &[]).ok().unwrap();
    assert_eq!(switches(&loaded), [("push_policy", "admin-only")]);
    assert_eq!(loaded.origins.of("access.switches.push_policy").to_string(), "etc/rollcall.toml:4:1");

    let off = [("ROLLCALL__ACCESS__SWITCHES__USER_COLLECTIONS", "False")];
    for (file, from) in [(SREGISTRY.to_owned(), "nothing"), (format!("{SREGISTRY}USER_COLLECTIONS = \"True\"\n"), "it")]
    {
        let loaded = with(&file, &off, &[]).unwrap_or_else(|problems| panic!("the file says {from}: {problems:?}"));
        assert_eq!(switches(&loaded), [("USER_COLLECTIONS", "False")], "the file says {from}");
        let origin = loaded.origins.of("access.switches.USER_COLLECTIONS").to_string();
        assert_eq!(origin, "environment ROLLCALL__ACCESS__SWITCHES__USER_COLLECTIONS");
    }
    let loaded = with(&format!("{SREGISTRY}USER_COLLECTIONS = false\n"), &[], &[]).ok().unwrap();
    assert_eq!(switches(&loaded), [("USER_COLLECTIONS", "False")], "written as a flag");

    let typo = with(SREGISTRY, &[("ROLLCALL__ACCESS__SWITCHES__USER_COLECTIONS", "False")], &[]).err().unwrap();
    assert!(typo[0].starts_with("environment ROLLCALL__ACCESS__SWITCHES__USER_COLECTIONS: "), "{typo:?}");
    assert!(typo[0].contains("did you mean `USER_COLLECTIONS`"), "{typo:?}");
    let value = with(SREGISTRY, &[("ROLLCALL__ACCESS__SWITCHES__USER_COLLECTIONS", "no")], &[]).err().unwrap();
    assert!(value[0].contains("True, False"), "{value:?}");
    for (missed, right) in [
        ("ROLLCALL_ACCESS__SWITCHES__USER_COLLECTIONS", "ROLLCALL__ACCESS__SWITCHES__USER_COLLECTIONS?"),
        ("ROLLCALL_ACCESS_SWITCHES_USER_COLLECTIONS", "ROLLCALL__ACCESS__SWITCHES__USER_COLLECTIONS?"),
        ("rollcall_source__corp__order", "ROLLCALL__SOURCE__CORP__ORDER?"),
    ] {
        let told = with(SREGISTRY, &[(missed, "x")], &[]).err().unwrap_or_else(|| panic!("{missed} says nothing"));
        assert!(told[0].contains(right), "{told:?}");
    }
    assert!(with(SREGISTRY, &[("ROLLCALL_SOURCE_DB_SERVICE_HOST", "10.0.0.1")], &[]).is_ok(), "an orchestrator's");
    let twice = [
        ("ROLLCALL__ACCESS__SWITCHES__PUSH_POLICY", "admin-only"),
        ("ROLLCALL__access__switches__push-policy", "admin-only"),
    ];
    let twice = with(PORTUS, &twice, &[]).err().unwrap();
    assert!(twice[0].contains("`push_policy` is said twice"), "{twice:?}");
}

#[test]
fn a_switch_of_a_profile_file_is_held_against_that_file() {
    let loaded = with("[access]\nprofile = \"own.toml\"\nswitches.Half_Open = \"YES\"\n", &[], &[]).ok().unwrap();
    assert_eq!(switches(&loaded), [("half.open", "yes")]);
    let loaded = with("[access]\nprofile = \"own.toml\"\n", &[("ROLLCALL__ACCESS__SWITCHES__HALF_OPEN", "yes")], &[]);
    assert_eq!(switches(&loaded.ok().unwrap()), [("half.open", "yes")]);
    let wrong = with("[access]\nprofile = \"own.toml\"\nswitches.push_policy = \"x\"\n", &[], &[]).err().unwrap();
    assert!(
        wrong[0].contains("the profile `own` has no switch") && wrong[0].contains("half.open (yes, no)"),
        "{wrong:?}"
    );
}

#[test]
fn a_variable_that_misses_by_its_underscores_or_a_source_by_a_letter_is_not_passed_over() {
    for name in ["ROLLCALL_TOKEN_TTL", "ROLLCALL_TOKEN__TTL", "ROLLCALL__TOKEN_TTL", "Rollcall__Token__Tll"] {
        let problems = with("", &[(name, "2m")], &[]).err().unwrap_or_default();
        assert!(
            problems.iter().any(|problem| problem.starts_with(&format!("environment {name}: "))),
            "{name} {problems:?}"
        );
        assert!(problems[0].contains("ROLLCALL__TOKEN__TTL") || problems[0].contains("token.ttl"), "{problems:?}");
    }
    // What an orchestrator sets for a service called `rollcall` is nobody's mistake.
    for name in
        ["ROLLCALL_SERVICE_HOST", "ROLLCALL_PORT", "ROLLCALL_PORT_8080_TCP_ADDR", "ROLLCALL_SERVER_SERVICE_PORT"]
    {
        assert!(with("", &[(name, "10.0.0.1")], &[]).is_ok(), "{name}");
    }
    let file = "[source.corp-flex]\nsecret_file = \"flexnet.secret\"\n";
    let stray = with(file, &[("ROLLCALL__SOURCE__CROP_FLEX__SECRET", SECRET)], &[]).err().unwrap();
    assert!(stray[0].starts_with("environment ROLLCALL__SOURCE__CROP_FLEX__SECRET: "), "{stray:?}");
    assert!(
        stray[0].contains("the nearest is `corp-flex`") && stray[0].contains("ROLLCALL__SOURCE__CROP_FLEX__KIND"),
        "{stray:?}"
    );
    // Each source has a secret of its own.
    let other = format!("whsec_{}", "QUJD".repeat(12));
    let meant = [
        ("ROLLCALL__SOURCE__CROP_FLEX__SECRET", other.as_str()),
        ("ROLLCALL__SOURCE__CROP_FLEX__KIND", "entitlements"),
    ];
    assert!(with(file, &meant, &[]).is_ok());
}

#[test]
fn a_role_or_a_profile_or_a_module_that_is_none_is_refused_with_the_nearest() {
    for (file, told) in [
        ("[access]\nprofile = \"habor\"\n", "did you mean `harbor`"),
        ("[access]\nprofile = \"Harbor\"\n", "did you mean `harbor`"),
        ("[access]\nproducer_role = \"Develper\"\n", "did you mean `Developer`"),
        ("[access]\nconfirm_consumer_role = \"Devloper\"\n", "`access.confirm_consumer_role`"),
        ("[log]\nlevel = \"info,rollcall_registy=debug\"\n", "did you mean `rollcall_registry`"),
        ("[log]\nlevel = \"info,rolcall=debug\"\n", "did you mean `rollcall`"),
    ] {
        let problems = with(file, &[], &[]).err().unwrap_or_default();
        assert!(
            problems.iter().any(|p| p.starts_with("etc/rollcall.toml:2:1") && p.contains(told)),
            "{file}{problems:?}"
        );
    }
    assert!(with("[log]\nlevel = \"info,hyper=debug,rollcall_registry::token=trace\"\n", &[], &[]).is_ok());
}
