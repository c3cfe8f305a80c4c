//! The protocol holds in every state, and no naive variant of it does.

#![allow(clippy::panic, clippy::print_stdout, reason = "a test that can't go on fails, and says what it has done")]

use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;
use issei_model::{Protocol, SUITES, Suite, Variant, counterexample_of};
use stateright::{Checker, HasDiscoveries, Model};

#[test]
fn i1_to_i7_hold_in_every_state() {
    // A thread for each of two suites, and none that waits for what another has seen.
    let next = AtomicUsize::new(0);
    let check = || {
        while let Some(suite) = SUITES.get(next.fetch_add(1, Ordering::Relaxed)) {
            holds(suite);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(check);
        scope.spawn(check);
    });
}

fn holds(Suite { name, sizes }: &Suite) {
    let checker = Protocol { sizes: *sizes, variant: None }.checker().threads(1).spawn_bfs().join();
    for (property, path) in checker.discoveries() {
        assert!(!checker.model().invariants().contains(&property), "{name}: {property} is broken by {:?}", path.into_actions());
    }
    checker.assert_any_discovery("somebody is in doubt");
    if sizes.budget.is_none() {
        checker.assert_any_discovery("a broadcast completes");
    }
    if sizes.keys {
        checker.assert_any_discovery("an answer ends doubt");
        checker.assert_any_discovery("what was asked is answered before what was sent");
    }
    if sizes.refusals > 0 {
        checker.assert_any_discovery("whoever waited behind a part is accepted");
    }
    if sizes.hours > 0 {
        checker.assert_any_discovery("somebody is accepted after the hour has turned");
    }
    if sizes.ramp > 0 {
        checker.assert_any_discovery("an hour of the ramp doubles");
    }
    if sizes.forgetting {
        checker.assert_any_discovery("somebody is forgotten");
    }
    if sizes.late {
        checker.assert_any_discovery("evidence comes late");
    }
    println!("{name}: {} states", checker.unique_state_count());
}

#[test]
fn every_naive_variant_finds_its_counterexample() {
    for variant in Variant::value_variants() {
        let (sizes, invariant) = counterexample_of(*variant);
        let model = Protocol { sizes, variant: Some(*variant) };
        let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let found = checker.discoveries();
        let broken = if found.keys().any(|name| name.starts_with(invariant)) {
            found
        } else {
            // Another invariant broke first; this one must break too.
            let wanted = model.properties().into_iter().map(|property| property.name).filter(|name| name.starts_with(invariant));
            model.checker().finish_when(HasDiscoveries::AllOf(wanted.collect())).spawn_bfs().join().discoveries()
        };
        let Some((_, path)) = broken.into_iter().find(|(name, _)| name.starts_with(invariant)) else {
            panic!("{variant:?} does not break {invariant}")
        };
        println!("{variant:?} breaks {invariant} in {} steps", path.into_actions().len());
    }
}

#[test]
fn the_same_sizes_hold_without_the_variant() {
    // Else a variant would fail by its sizes, not by what it does.
    let mut checked = Vec::new();
    for variant in Variant::value_variants() {
        let (sizes, _) = counterexample_of(*variant);
        if checked.contains(&sizes) {
            continue;
        }
        checked.push(sizes);
        let checker = Protocol { sizes, variant: None }.checker().threads(1).spawn_bfs().join();
        let broken: Vec<_> = checker.discoveries().into_keys().filter(|name| checker.model().invariants().contains(name)).collect();
        assert_eq!(broken, Vec::<&str>::new(), "{variant:?}");
    }
}
