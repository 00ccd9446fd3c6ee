//! Visits every state that can be reached.

use std::collections::HashMap;

use super::{Rules, State, Step, chance::is_chance, next};

/// What a search has found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    pub(crate) counterexample: Option<Counterexample>,
}

/// The shortest way to a broken promise.
#[derive(Debug)]
pub(crate) struct Counterexample {
    pub(crate) promise: &'static str,
    pub(crate) steps: Vec<Step>,
}

/// Visits the states breadth first, until a promise is broken.
pub(crate) fn search(first: State, rules: Rules) -> Found {
    let mut graph = Graph::new(first);
    let mut done = 0;
    while done < graph.states.len() {
        let state = graph.states[done].0;
        for (step, after) in next(&state, rules) {
            let index = graph.reach(after, done, step);
            if !is_chance(step) {
                graph.ways.push((index, done));
            }
            if let Some(promise) = after.broken {
                return graph.found(Some((index, promise)));
            }
        }
        done += 1;
    }
    let stuck = graph.stuck();
    graph.found(stuck.map(|index| (index, "a mail waits forever")))
}

struct Graph {
    /// Each state, and how it was first reached.
    states: Vec<(State, Option<(usize, Step)>)>,
    indices: HashMap<State, usize>,
    /// Steps from a state to another, backwards.
    ways: Vec<(usize, usize)>,
    steps: usize,
}

impl Graph {
    fn new(first: State) -> Self {
        Self { states: vec![(first, None)], indices: HashMap::from([(first, 0)]), ways: Vec::new(), steps: 0 }
    }

    fn reach(&mut self, state: State, from: usize, step: Step) -> usize {
        self.steps += 1;
        let index = *self.indices.entry(state).or_insert(self.states.len());
        if index == self.states.len() {
            self.states.push((state, Some((from, step))));
        }
        index
    }

    /// The first state from which no way leads to the mail's end.
    fn stuck(&self) -> Option<usize> {
        let mut sources: Vec<Vec<usize>> = vec![Vec::new(); self.states.len()];
        for (to, from) in &self.ways {
            sources[*to].push(*from);
        }
        let mut ends: Vec<bool> = self.states.iter().map(|(state, _)| state.is_over()).collect();
        let mut left: Vec<usize> = (0..ends.len()).filter(|index| ends[*index]).collect();
        while let Some(index) = left.pop() {
            for source in &sources[index] {
                if !std::mem::replace(&mut ends[*source], true) {
                    left.push(*source);
                }
            }
        }
        ends.iter().position(|ends| !ends)
    }

    fn found(&self, broken: Option<(usize, &'static str)>) -> Found {
        let counterexample = broken.map(|(index, promise)| Counterexample { promise, steps: self.way_to(index) });
        Found { states: self.states.len(), steps: self.steps, counterexample }
    }

    fn way_to(&self, mut index: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some((from, step)) = self.states[index].1 {
            steps.push(step);
            index = from;
        }
        steps.reverse();
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Rule, *};

    #[test]
    fn every_promise_is_kept_in_every_state() {
        let (faults, operations) = if std::env::var_os("EXAMHALL_LONG").is_some() { (2, 1) } else { (1, 1) };
        let found = search(State::committed(faults, operations), Rules::default());
        println!("{} states, {} steps", found.states, found.steps);
        assert!(found.counterexample.is_none(), "{:#?}", found.counterexample);
        assert!(found.states > 10_000, "{}", found.states);
    }

    #[test]
    fn every_rule_is_needed() {
        for rule in Rule::ALL {
            let budgets = [(1, 0), (1, 1), (2, 0), (2, 1)]; // the smaller, the faster
            let breaks = |(faults, operations)| {
                search(State::committed(faults, operations), Rules { off: Some(rule) }).counterexample.is_some()
            };
            assert!(budgets.into_iter().any(breaks), "{rule:?}");
        }
    }
}
