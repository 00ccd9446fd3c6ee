//! Everybody opens one exam in the same moment, right after its author changed it.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{
    report::Report,
    system::{System, timed},
};

/// How often the exam is changed, and read by everybody.
const CHANGES: u32 = 10;
/// Accounts that the users share: what a login costs is measured where users sign up.
const ACCOUNTS: u32 = 20;
/// Questions that make a sheet of 8 KB.
const QUESTIONS: u32 = 58;

pub(crate) async fn drive(system: &System, users: u32, report: &mut Report) -> anyhow::Result<()> {
    let seeded = system.seed(QUESTIONS, ACCOUNTS.min(users)).await?;
    let author = system.log_in(&seeded["authorEmail"], &seeded["password"]).await?;
    let mut students = Vec::new();
    for email in seeded["studentEmails"].as_array().into_iter().flatten() {
        students.push(system.log_in(email, &seeded["password"]).await?);
    }
    let exam = format!("/exams/{}", seeded["examId"].as_str().unwrap_or_default());
    let sheet = format!("{exam}/questions");
    for student in &students {
        timed(system.request(Method::POST, &format!("{exam}/attempts")).bearer_auth(student)).await?;
    }
    let (mut times, mut stale) = (Vec::new(), 0);
    let (loads, bypassed) = (system.loads().await?, system.reads("bypass").await?);
    for change in 1..=CHANGES {
        let patch = system.request(Method::PATCH, &exam).bearer_auth(&author);
        timed(patch.json(&json!({"title": format!("Change {change}")}))).await?;
        let readers = students.iter().cycle().take(users as usize);
        let reads = readers.map(|student| timed(system.request(Method::GET, &sheet).bearer_auth(student)));
        for read in join_all(reads).await {
            stale += u32::from(read.as_ref().is_ok_and(|read| read.json["version"] != change + 1));
            times.push(read.ok().map(|read| read.took));
        }
    }
    report.step(&format!("exam start: {users} read the sheet"), &times);
    report.fact("exam start: loads per change", (system.loads().await? - loads) / f64::from(CHANGES));
    report.fact("exam start: reads that bypassed Redis", system.reads("bypass").await? - bypassed);
    report.fact("exam start: old sheets after a change", f64::from(stale));
    Ok(())
}
