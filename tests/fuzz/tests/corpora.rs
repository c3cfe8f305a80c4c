//! Every input that the fuzzer has kept, once more.

use issei_fuzz_targets::TARGETS;

#[test]
fn every_input_that_the_fuzzer_kept_is_still_taken_well() {
    for (name, target) in TARGETS {
        let corpus = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut inputs = 0;
        for entry in std::fs::read_dir(&corpus).unwrap() {
            target(&std::fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 3, "{corpus} has {inputs} inputs");
    }
}
