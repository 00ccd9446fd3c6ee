//! Deliberately broken builds: what convinces of a proof is that it fails where it must.
//!
//! Each mutant is a change of the product's sources, made in a copy under `target/mutants`, built there, and run until a
//! promise is broken.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, ensure};

use crate::{
    nemesis::Blow,
    pipeline::Programs,
    run::{Plan, run},
};

/// Kills in a round, after which every mail is judged.
const ROUND: usize = 50;
const ROUNDS: usize = 20;
/// What Redis has lost is queued again within 90 s.
const SETTLES_WITHIN: Duration = Duration::from_mins(2);

/// A change of a file: what is there, and what comes in its place.
type Edit = (&'static str, &'static str, &'static str);

/// A rule, and the changes that break it.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    edits: &'static [Edit],
    /// The blow that puts the rule to the test: it is struck more often than usual.
    often: Option<Blow>,
}

/// No promise is broken by it, but most mails whose mailer dies are left to an operator: what is rare otherwise is common.
const NO_SECOND_MAILER: Edit =
    ("crates/queue/src/lua/transitions.lua", "if stalls > max_stalls and", "if stalls > 0 and");

const ATTEMPT: &str = "crates/mailer/src/attempt.rs";
const HANDLER: &str = "crates/mailer/src/handler.rs";
const KNOWN: &str = "crates/mailer/src/handler/known.rs";
const OUTCOME: &str = "crates/mailer/src/attempt_outcome.rs";
const RECONCILER: &str = "crates/api/src/reconciler.rs";

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "no intent is written",
        edits: &[(
            ATTEMPT,
            "self.intent.get_or_init(|| self.replace_with_intent()).await.abort.clone().map_or(Ok(()), Err)",
            "if true { Ok(()) } else { self.intent.get_or_init(|| self.replace_with_intent()).await.abort.clone().map_or(Ok(()), Err) }",
        )],
        often: None,
    },
    Mutant {
        name: "the ledger is not asked",
        edits: &[(HANDLER, "self.check_ledger(&attempt).await?;", "drop(self.check_ledger(&attempt).await);")],
        often: None,
    },
    Mutant {
        name: "a doubt is not flagged",
        edits: &[(KNOWN, "\"Mail may have been sent before: sent again\"", "\"Mail is sent\"")],
        often: None,
    },
    Mutant {
        name: "an accepted mail is sent again",
        edits: &[(
            KNOWN,
            "Err(AttemptOutcome::Sent(known.result))",
            "if false { Err(AttemptOutcome::Sent(known.result)) } else { Ok(()) }",
        )],
        often: Some(Blow::AnswersLost),
    },
    Mutant {
        name: "what may have been sent counts as not sent",
        edits: &[
            NO_SECOND_MAILER,
            (KNOWN, "Some(known) if is_in_doubt(&known)", "Some(known) if false && is_in_doubt(&known)"),
        ],
        often: None,
    },
    Mutant {
        name: "a failed mail counts as sent",
        edits: &[
            NO_SECOND_MAILER,
            (
                RECONCILER,
                "| (Event::Failed { id, .. }, MailOutcome::Failed)",
                "| (Event::Failed { id, .. }, MailOutcome::Sent)",
            ),
        ],
        often: None,
    },
    Mutant {
        name: "a silent server counts as one that refused",
        edits: &[(
            "crates/mailer/src/handler/failure.rs",
            "return AttemptOutcome::Ambiguous(format!(\"{reason}: it may have been delivered\"));",
            "AttemptOutcome::Deferred(reason.clone())",
        )],
        often: None,
    },
    Mutant {
        name: "a silent Redis counts as success",
        edits: &[(
            OUTCOME,
            "Self::NoRedis(_) => Outcome::Snoozed(Duration::from_secs(1)),",
            "Self::NoRedis(_) => Outcome::Completed(Value::Null),",
        )],
        often: Some(Blow::RedisCut),
    },
    Mutant {
        name: "a mail that was deferred counts as sent",
        edits: &[(
            OUTCOME,
            "Self::Deferred(reason) | Self::Ambiguous(reason) => Outcome::Failed(Failure::new(reason)),",
            "Self::Deferred(_) => Outcome::Completed(Value::Null),\n            Self::Ambiguous(reason) => Outcome::Failed(Failure::new(reason)),",
        )],
        often: None,
    },
    Mutant {
        name: "a job's id is not made of its row's",
        edits: &[("crates/api/src/relay.rs", ".job_id(job_of(mail.id))\n", ".job_id(job_of(Uuid::now_v7()))\n")],
        often: None,
    },
    Mutant {
        name: "lost mailers are not missed",
        edits: &[
            ("crates/queue/src/lua/reap.lua", "if is_dead and ", "if false and "),
            (
                "crates/queue/src/lua/recover.lua",
                "if not redis.call('MGET', P .. id .. ':lock')[1] and",
                "if false and",
            ),
        ],
        often: None,
    },
    Mutant {
        name: "mails that Redis has lost are not queued again",
        edits: &[(RECONCILER, "None => Fate::Lost,", "None => Fate::Open,")],
        often: Some(Blow::RedisEmptied),
    },
    Mutant {
        name: "a mail is promised before it is committed",
        edits: &[(
            "crates/store/src/outbox.rs",
            "Ok(_) => tx.commit().await.map(|()| None).map_err(Error::from),",
            "Ok(_) => {\n                        drop(tx);\n                        Ok(None)\n                    }",
        )],
        often: None,
    },
    Mutant {
        name: "a request that is repeated makes another mail",
        edits: &[("crates/store/src/outbox.rs", "request_key: Set(key.map(Into::into)),", "request_key: Set(None),")],
        often: None,
    },
];

/// Builds each mutant whose name contains `wanted`, and strikes it until a promise is broken; returns a table, and whether
/// each was caught.
pub(crate) async fn hunt(plan: &Plan, wanted: &str) -> anyhow::Result<(String, bool)> {
    ensure!(MUTANTS.iter().any(|mutant| mutant.name.contains(wanted)), "no broken build's name contains {wanted:?}");
    let folder = copy()?;
    let (mut table, mut are_all_caught) = ("| broken build | caught after |\n|---|---|\n".to_owned(), true);
    for mutant in MUTANTS.iter().filter(|mutant| mutant.name.contains(wanted)) {
        mutant.apply(&folder)?;
        let caught = caught(&Plan { often: mutant.often, ..plan.clone() }, &folder).await;
        mutant.revert(&folder)?;
        let caught = caught?;
        are_all_caught &= caught.is_some();
        let caught = caught.map_or("**not caught**".to_owned(), |(kills, how)| format!("{kills} kills: {how}"));
        println!("{}: {caught}", mutant.name);
        let _ = writeln!(table, "| {} | {caught} |", mutant.name);
    }
    Ok((table, are_all_caught))
}

async fn caught(plan: &Plan, folder: &Path) -> anyhow::Result<Option<(usize, String)>> {
    let build = ["build", "--locked", "--bin", "api", "--bin", "mailer", "--quiet"];
    let status = Command::new("cargo").args(build).current_dir(folder).env("RUSTFLAGS", "-Awarnings").status()?;
    ensure!(status.success(), "a mutant does not compile");
    let programs = Programs(folder.join("target/debug"));
    let mut kills = 0;
    for round in 0..ROUNDS {
        let seed = plan.seed + round as u64;
        let programs = programs.clone();
        let plan =
            Plan { programs, kills: ROUND, mails: ROUND * 10, seed, settles_within: SETTLES_WITHIN, ..plan.clone() };
        let verdict = run(&plan).await?;
        kills += verdict.kills();
        if !verdict.is_good() {
            let faults = verdict.faults();
            let found = faults.iter().filter(|(_, mails)| !mails.is_empty());
            let how: Vec<String> = found.map(|(what, mails)| format!("{} {what}", mails.len())).collect();
            return Ok(Some((kills, how.join(", "))));
        }
        progress(kills);
    }
    Ok(None)
}

#[expect(clippy::print_stderr, reason = "stdout is for the verdict")]
fn progress(kills: usize) {
    eprintln!("not caught after {kills} kills");
}

impl Mutant {
    fn apply(&self, folder: &Path) -> anyhow::Result<()> {
        self.edit(folder, |(file, from, to)| (*file, *from, *to))
    }

    fn revert(&self, folder: &Path) -> anyhow::Result<()> {
        self.edit(folder, |(file, from, to)| (*file, *to, *from))
    }

    fn edit<'a>(&'a self, folder: &Path, edit: impl Fn(&'a Edit) -> Edit) -> anyhow::Result<()> {
        for (file, from, to) in self.edits.iter().map(edit) {
            let path = folder.join(file);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            ensure!(text.matches(from).count() == 1, "{file} must hold this once: {from}");
            fs::write(path, text.replace(from, to))?;
        }
        Ok(())
    }
}

/// Copies the sources; what was built there before stays. They count as changed (`-m`): what another hunt has broken there,
/// and not put back, would be taken for built otherwise.
fn copy() -> anyhow::Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("target/mutants");
    fs::create_dir_all(&folder)?;
    let files =
        "git ls-files -z Cargo.toml Cargo.lock crates | tar --null --files-from=- -cf - | tar -xmf - -C target/mutants";
    let status = Command::new("sh").args(["-c", files]).current_dir(root).status()?;
    ensure!(status.success(), "the sources cannot be copied");
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mutant_fits_the_sources() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (file, from, to) in MUTANTS.iter().flat_map(|mutant| mutant.edits) {
            let text = fs::read_to_string(root.join(file)).expect("a file");
            assert_eq!(text.matches(from).count(), 1, "{file}: {from}");
            assert_eq!(text.replace(from, to).matches(to).count(), 1, "{file} cannot be put back: {to}");
        }
    }
}
