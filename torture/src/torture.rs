//! All rounds of a run, and the mutants.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::arguments::Arguments;
use crate::disk::{self, Disk};
use crate::engines::Engines;
use crate::era::Era;
use crate::fault::Fault;
use crate::plan::{MUTANTS, Mutant, Plan, faults};
use crate::random::Random;
use crate::report::{Tally, breaches, line};
use crate::round;

/// Rounds on one set of stores and one volume.
const ROUNDS_OF_AN_ERA: u32 = 8;

/// A mutant that is not told by then is not told.
const ROUNDS_OF_A_MUTANT: u32 = 40;

/// How the directory of a run begins; its pid follows.
const OF_A_RUN: &str = "torture-of-";

/// Runs what the arguments ask for; false if a promise was broken, or a mutant was not told.
///
/// # Errors
/// What keeps the torture itself from going on.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut torture = Torture::begin(arguments).await?;
    let named =
        |name: &String| MUTANTS.iter().find(|mutant| mutant.name == name).context("there is no such mutant");
    let mutants: Vec<Mutant> = match (&arguments.mutant, arguments.mutants) {
        (Some(name), _) => vec![*named(name)?],
        (None, true) => MUTANTS.to_vec(),
        (None, false) => return torture.rounds().await,
    };
    let mut all_told = true;
    let mut table = vec![format!("{:<24} rounds until it was told", "mutant")];
    for mutant in mutants {
        let told = torture.told(mutant).await?;
        all_told &= told.is_some();
        let rounds = told.map_or("never".into(), |rounds| rounds.to_string());
        table.push(format!("{:<24} {rounds}", mutant.name));
    }
    println!("\n{}", table.join("\n"));
    Ok(all_told)
}

struct Torture<'a> {
    arguments: &'a Arguments,
    engines: Engines,
    directory: Directory,
    has_volume: bool,
    /// Names of databases and tables are used once.
    eras: u32,
}

/// How a round ended.
enum Ended {
    Sound,
    Broken,
}

impl<'a> Torture<'a> {
    async fn begin(arguments: &'a Arguments) -> anyhow::Result<Self> {
        remove_leftovers(&arguments.directory)?;
        let directory = arguments.directory.join(format!("{OF_A_RUN}{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let directory = Directory(directory.canonicalize()?);
        // What AWS's clients ask for before they speak to any endpoint is set by who starts this.
        let engines = Engines::start(&directory.0, arguments.seed).await?;
        let has_volume = Disk::make(&directory.0.join("try"))?.is_volume();
        if !has_volume {
            println!("no volume can be mounted here: power loss and the full disk are left out");
        }
        Ok(Self { arguments, engines, directory, has_volume, eras: 0 })
    }

    async fn rounds(&mut self) -> anyhow::Result<bool> {
        let Arguments { rounds, seed, first, minutes, .. } = *self.arguments;
        let deadline = minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
        let mut tally = Tally::default();
        let mut era = None;
        let mut sound = true;
        for number in first..first.saturating_add(rounds) {
            if sound && deadline.is_none_or(|deadline| Instant::now() < deadline) {
                sound = matches!(self.round(&mut era, number, None, &mut tally).await?, Ended::Sound);
            }
        }
        if sound && let Some(era) = era {
            era.end(&self.engines).await?;
        }
        println!("\n{}", tally.table());
        if sound {
            println!("seed {seed}: every promise held");
        }
        Ok(sound)
    }

    /// Rounds with a defect built in until a promise is broken: how many it took.
    async fn told(&mut self, mutant: Mutant) -> anyhow::Result<Option<u32>> {
        println!("\nmutant {}", mutant.name);
        let mut era = None;
        for number in 0..ROUNDS_OF_A_MUTANT {
            if let Ended::Broken = self.round(&mut era, number, Some(mutant), &mut Tally::default()).await? {
                return Ok(Some(number + 1));
            }
        }
        Ok(None)
    }

    async fn round(
        &mut self,
        era: &mut Option<Era>,
        number: u32,
        mutant: Option<Mutant>,
        tally: &mut Tally,
    ) -> anyhow::Result<Ended> {
        let seed = self.arguments.seed;
        let is_over =
            era.as_ref().is_some_and(|era| era.damage.is_some() || number.is_multiple_of(ROUNDS_OF_AN_ERA));
        if is_over && let Some(era) = era.take() {
            era.end(&self.engines).await?;
        }
        let mut current = match era.take() {
            Some(era) => era,
            None => self.next_era(mutant).await?,
        };
        let mut random = Random::of(seed, u64::from(number));
        let plan = Plan::draw(&self.faults(mutant)?, &mut random);
        let outcome = round::run(&mut current, &mut self.engines, number, &plan, &mut random).await?;
        println!("{}", line(number, seed, &plan.faults, &outcome));
        tally.take(&plan.faults, &outcome);
        if outcome.breaches.is_empty() {
            *era = Some(current);
            return Ok(Ended::Sound);
        }
        println!("{}", breaches(&outcome, mutant.is_none()));
        if mutant.is_none() {
            let kept = self.arguments.directory.join(format!("torture-kept-{seed}-{number}"));
            current.keep(&kept)?;
            let first = number - number % ROUNDS_OF_AN_ERA;
            println!(
                "BROKEN. Logs and data directory: {}\nagain: cargo xtask torture --seed {seed} --first {first} --rounds {}",
                kept.display(),
                number - first + 1
            );
        }
        Ok(Ended::Broken)
    }

    fn faults(&self, mutant: Option<Mutant>) -> anyhow::Result<Vec<Fault>> {
        let faults = faults(mutant, &self.arguments.only, self.has_volume);
        ensure!(!faults.is_empty(), "no fault of that name can be made here");
        Ok(faults)
    }

    async fn next_era(&mut self, mutant: Option<Mutant>) -> anyhow::Result<Era> {
        self.eras += 1;
        let (program, seed) = (&self.arguments.beacond, self.arguments.seed);
        let mutant = mutant.map(|mutant| mutant.name);
        Era::begin(&self.engines, program, &self.directory.0, self.eras, seed, mutant).await
    }
}

/// The directory of a run; gone with it.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        disk::unmount_below(&self.0);
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// A run that was killed took its processes with it, and left its directory and its mounts.
fn remove_leftovers(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.strip_prefix(OF_A_RUN)).map(str::to_owned);
        if of.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            disk::unmount_below(&entry.path().canonicalize()?);
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
