//! What was measured, for people.

use super::{
    Fsync, Plan, Samples,
    peer::{Peer, Sample},
    target::{Figure, MEMORY_MB, TARGETS},
    work::{WORKS, Work},
};

/// A column of figures: its heading, and where it comes from.
type Column = (&'static str, fn(&Sample) -> Option<f64>);

const FIGURES: &[Column] = &[
    ("jobs/s", |sample| Some(sample.rate)),
    ("commands/job", |sample| Some(sample.commands)),
    ("Redis us/job", |sample| Some(sample.cpu_us)),
    ("MB", |sample| sample.memory_mb),
];

pub(crate) fn print(plan: &Plan, samples: &Samples) {
    let disk = match plan.append_only {
        Some(Fsync::Everysec) => "append-only file, synced every second",
        Some(Fsync::Always) => "append-only file, synced before each answer",
        None => "no persistence",
    };
    println!("\n{} jobs of 1 KB, medians of {} rounds, Redis with {disk}\n", plan.count, plan.rounds);
    print!("{:<24} {:<16}", "work", "peer");
    for (heading, _) in FIGURES {
        print!(" {heading:>12}");
    }
    println!(" {:>12}", "ours by");
    let rate_of = |work, peer| median(samples.get(&(work, peer))?.iter().map(|sample: &Sample| sample.rate));
    for work in WORKS {
        for peer in &plan.peers {
            let Some(samples) = samples.get(&(*work, *peer)) else { continue };
            print!("{:<24} {:<16}", work.to_string(), peer.label());
            for (_, figure) in FIGURES {
                let cell = median(samples.iter().filter_map(figure)).map_or_else(|| "-".to_owned(), in_short);
                print!(" {cell:>12}");
            }
            match (rate_of(*work, Peer::Ours), rate_of(*work, *peer)) {
                (Some(ours), Some(theirs)) if *peer != Peer::Ours => {
                    println!(" {:>12}", format!("{:.2}x", ours / theirs));
                }
                _ => println!(),
            }
        }
    }
    print_targets(samples);
}

fn print_targets(samples: &Samples) {
    println!("\n{:<24} {:<34} {:>8} {:>10}", "work", "ours by", "ratio", "target");
    let figure_of = |work, peer, figure: Figure| {
        let samples: &Vec<Sample> = samples.get(&(work, peer))?;
        median(samples.iter().map(|sample| figure.of(sample)))
    };
    for target in TARGETS {
        let of = |peer| figure_of(target.work, peer, target.figure);
        let (Some(ours), Some(theirs)) = (of(Peer::Ours), of(target.peer)) else { continue };
        let what = match target.figure {
            Figure::Rate => format!("{}, jobs/s", target.peer.label()),
            Figure::Cpu => format!("{}, Redis us/job", target.peer.label()),
        };
        let (ratio, verdict) = (ours / theirs, verdict(target.is_reached_by(ours / theirs)));
        println!("{:<24} {what:<34} {ratio:>8.2} {:>10} {verdict}", target.work.to_string(), target.wanted());
    }
    let memory = samples.get(&(Work::Run(5), Peer::Ours)).into_iter().flatten().filter_map(|sample| sample.memory_mb);
    if let Some(memory) = median(memory) {
        let wanted = format!("< {MEMORY_MB:.0}");
        println!(
            "{:<24} {:<34} {memory:>8.1} {wanted:>10} {}",
            Work::Run(5).to_string(),
            "MB",
            verdict(memory < MEMORY_MB)
        );
    }
}

fn verdict(is_reached: bool) -> &'static str {
    if is_reached { "reached" } else { "NOT REACHED" }
}

/// Three digits or so, whatever the size.
fn in_short(figure: f64) -> String {
    if figure < 100.0 { format!("{figure:.1}") } else { format!("{figure:.0}") }
}

/// The middle one; of two in the middle, what lies between.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len().checked_sub(1)? / 2;
    let upper = figures.len() / 2;
    Some(f64::midpoint(figures[middle], figures[upper]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }
}
