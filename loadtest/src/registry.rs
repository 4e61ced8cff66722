//! `loadtest registry`: the beacons and gateways of a scenario, as `beacond beacon import` and `gateway import` take them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use uuid::Uuid;

use crate::ending::{Ending, Failure};
use crate::figures::count;
use crate::population::{BeaconStatus, Layout, LocationType, Naming};
use crate::run::ScenarioArguments;

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 written, 1 cannot be written, 64 wrong arguments, 78 wrong scenario")]
pub(crate) struct RegistryArguments {
    #[command(flatten)]
    scenario: ScenarioArguments,
    /// Where beacons.csv and gateways.csv go.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
}

/// Writes both files.
///
/// # Errors
/// A wrong scenario, or files that cannot be written.
pub(crate) fn run(arguments: &RegistryArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let scenario = arguments.scenario.read()?;
    let layout = Layout::new(&scenario.population);
    let directory = &arguments.into;
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    write(&directory.join("beacons.csv"), |file| beacons(layout, file))?;
    write(&directory.join("gateways.csv"), |file| gateways(layout, &scenario.sessions.gateway, file))?;
    let (beacons, gateways) = (count(layout.beacons().into()), count(layout.gateways().into()));
    writeln!(out, "{beacons} beacons and {gateways} gateways written into {}", directory.display())
        .context("cannot print")?;
    Ok(Ending::Good)
}

fn write(path: &Path, lines: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> anyhow::Result<()> {
    let written = File::create(path).map(BufWriter::new).and_then(|mut file| {
        lines(&mut file)?;
        file.flush()
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn beacons(layout: Layout, out: &mut impl Write) -> io::Result<()> {
    let naming = Naming::new(layout);
    writeln!(out, "beacon_id,store_id,major,minor,location,location_type,status")?;
    for store in 0..layout.stores() {
        let store_id = Naming::store_id(store);
        for beacon in layout.beacons_of(store) {
            let id = Uuid::from_bytes(Naming::beacon_id(beacon));
            let (major, minor) = naming.numbers(beacon);
            let location = naming.place(beacon);
            let kind = match layout.location_type(beacon) {
                LocationType::Entrance => "entrance",
                LocationType::Counter => "counter",
                LocationType::Table => "table",
            };
            let status = match layout.status(beacon) {
                BeaconStatus::Active => "active",
                BeaconStatus::Inactive => "inactive",
                BeaconStatus::Maintenance => "maintenance",
            };
            writeln!(out, "{id},{store_id},{major},{minor},{location},{kind},{status}")?;
        }
    }
    Ok(())
}

fn gateways(layout: Layout, prefix: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "gateway_id,stores,status")?;
    for gateway in 0..layout.gateways() {
        let stores: Vec<String> = layout.stores_of(gateway).map(Naming::store_id).collect();
        writeln!(out, "{},{},active", Naming::gateway_id(prefix, gateway), stores.join(";"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::PopulationPlan;

    #[test]
    fn every_beacon_and_gateway_has_its_line() {
        let plan =
            PopulationPlan { stores: 4, gateways: 2, beacons_per_store: 3, ..PopulationPlan::default() };
        let layout = Layout::new(&plan);
        let text = |lines: &dyn Fn(&mut Vec<u8>) -> io::Result<()>| {
            let mut bytes = Vec::new();
            lines(&mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let beacons = text(&|out| beacons(layout, out));
        let lines: Vec<&str> = beacons.lines().collect();
        assert_eq!(lines.len(), 1 + 12);
        let first = Uuid::from_bytes(Naming::beacon_id(0));
        assert_eq!(lines[1], format!("{first},store-000001,0,0,Entrance,entrance,active"));
        assert!(lines[3].ends_with(",store-000001,0,2,Table 1,table,inactive"), "{}", lines[3]);
        let gateways = text(&|out| gateways(layout, "gateway", out));
        assert_eq!(gateways.lines().nth(2), Some("gateway-000002,store-000003;store-000004,active"));
    }
}
