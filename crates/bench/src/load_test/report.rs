//! What users saw.

use std::time::Duration;

use serde::Serialize;

/// Everything that was measured, in order.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    steps: Vec<Step>,
    facts: Vec<Fact>,
}

/// One kind of request: how often, how many were not answered as they should be, how long the others took.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    name: String,
    requests: usize,
    errors: usize,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    value: f64,
}

impl Report {
    /// Adds the requests of one step; `None` is one that failed.
    pub(crate) fn step(&mut self, name: &str, times: &[Option<Duration>]) {
        let mut good: Vec<_> = times.iter().flatten().copied().collect();
        good.sort_unstable();
        let at = |part: usize| match good.len() {
            0 => 0.0,
            count => good[(count * part / 100).min(count - 1)].as_secs_f64() * 1000.0,
        };
        self.steps.push(Step {
            name: name.to_owned(),
            requests: times.len(),
            errors: times.len() - good.len(),
            p50_ms: at(50),
            p95_ms: at(95),
            p99_ms: at(99),
            max_ms: at(100),
        });
    }

    /// Adds a number that is no time of a request.
    pub(crate) fn fact(&mut self, name: &str, value: f64) {
        self.facts.push(Fact { name: name.to_owned(), value });
    }

    /// Prints a table, or one JSON object.
    ///
    /// # Errors
    ///
    /// Requests failed: the report is printed, and the exit status says so.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            crate::note(&serde_json::to_string(self)?);
        } else {
            self.print_table();
        }
        let errors: usize = self.steps.iter().map(|step| step.errors).sum();
        anyhow::ensure!(errors == 0, "{errors} requests failed");
        Ok(())
    }

    fn print_table(&self) {
        crate::title("", &["requests", "errors", "p50 ms", "p95 ms", "p99 ms", "max ms"]);
        for step in &self.steps {
            let counts = [step.requests, step.errors].map(|count| u32::try_from(count).unwrap_or(u32::MAX).into());
            let times = [step.p50_ms, step.p95_ms, step.p99_ms, step.max_ms];
            crate::row(&step.name, &[counts.as_slice(), &times].concat());
        }
        crate::note("");
        for fact in &self.facts {
            crate::row(&fact.name, &[fact.value]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_requests_fail_the_run() {
        let mut report = Report::default();
        report.step("good", &[Some(Duration::from_millis(1))]);
        report.print(true).expect("all is well");
        report.step("bad", &[Some(Duration::from_millis(1)), None]);
        let error = report.print(true).expect_err("the exit status says so");
        assert_eq!(error.to_string(), "1 requests failed");
    }
}
