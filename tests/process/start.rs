//! Starts that cannot be: one line that says what and where, and an exit code.

use std::net::{TcpListener, UdpSocket};

use beacond::config::Config;

use crate::harness::frames;
use crate::harness::home::Home;

/// The exit code of a configuration that cannot be used.
const CONFIG: i32 = 78;

/// Runs `serve` on free ports but for what `arguments` say, to an end that must come at once.
fn serve(home: &Home, arguments: &[&str]) -> crate::harness::home::Finished {
    let mut all = vec!["serve"];
    for listener in ["--listen-tcp", "--listen-udp", "--admin"] {
        if !arguments.contains(&listener) {
            all.extend([listener, "127.0.0.1:0"]);
        }
    }
    all.extend(arguments);
    home.beacond(&all)
}

#[track_caller]
fn assert_names(line: &str, named: &[&str]) {
    for name in named {
        assert!(line.contains(name), "{name} is not in: {line}");
    }
}

#[test]
fn a_value_that_is_not_allowed_is_named_with_file_and_key_and_what_is() {
    let home = Home::new();
    for (toml, named) in [
        ("[sessions]\nmax_tcp = 0\n", ["sessions.max_tcp", "0", "from 1 to"]),
        ("[sessions]\nmax_tcp = \"many\"\n", ["sessions.max_tcp", "\"many\"", "whole number"]),
        ("[sessions]\nudp_window_frames = 65\n", ["sessions.udp_window_frames", "65", "64"]),
        ("[pipeline]\nbatch_age_ms = -1\n", ["pipeline.batch_age_ms", "-1", "from 0 to 1000"]),
        ("[pipeline]\nqueue_rows = 2.5\n", ["pipeline.queue_rows", "2.5", "whole number"]),
        ("[rules]\ntable_midpoint_dbm = 3\n", ["rules.table_midpoint_dbm", "3", "-100"]),
        ("[rules]\nscale_dbm = 0.0\n", ["rules.scale_dbm", "0", "0.1"]),
        ("[rules]\nscale_dbm = nan\n", ["rules.scale_dbm", "NaN", "0.1"]),
        ("[listen]\nadmin = \"here\"\n", ["listen.admin", "\"here\"", "address"]),
        ("listen = 7400\n", ["listen", "7400", ""]),
        ("data_dir = 3\n", ["data_dir", "3", ""]),
    ] {
        let file = home.write("broken.toml", toml);
        let file = file.to_str().unwrap();
        for command in [&["beacon", "list"][..], &["stats"], &["serve"]] {
            let line = home.beacond(&[command, &["--config", file]].concat()).failed_in_one_line(CONFIG);
            assert_names(&line, &named);
            assert_names(&line, &[file]);
        }
    }
    assert!(!home.data().exists(), "nothing was made");
}

#[test]
fn a_key_that_does_not_exist_is_named_with_those_that_do() {
    let home = Home::new();
    for (toml, named) in [
        ("[sessions]\nmax_tpc = 3\n", ["sessions.max_tpc", "max_tcp"]),
        ("[session]\nmax_tcp = 3\n", ["session", "sessions"]),
        ("datadir = \"x\"\n", ["datadir", "data_dir"]),
    ] {
        let file = home.write("broken.toml", toml);
        let line = serve(&home, &["--config", file.to_str().unwrap()]).failed_in_one_line(CONFIG);
        assert_names(&line, &named);
        assert_names(&line, &["broken.toml"]);
    }
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_named() {
    let home = Home::new();
    let missing = home.path("missing.toml");
    let line = serve(&home, &["--config", missing.to_str().unwrap()]).failed_in_one_line(CONFIG);
    assert_names(&line, &["missing.toml"]);
    let file = home.write("broken.toml", "[sessions]\nmax_tcp = = 3\n");
    let line = serve(&home, &["--config", file.to_str().unwrap()]).failed_in_one_line(CONFIG);
    assert_names(&line, &["broken.toml", "2"]);
}

#[test]
fn open_to_every_gateway_means_loopback_only() {
    let home = Home::new();
    for listener in ["--listen-tcp", "--listen-udp"] {
        let line = serve(&home, &[listener, "0.0.0.0:0", "--insecure-dev"]).failed_in_one_line(CONFIG);
        assert_names(&line, &["--insecure-dev", "0.0.0.0:0"]);
    }
    let daemon = home.serve();
    assert!(daemon.stderr.wait_for_line("--insecure-dev", crate::harness::PATIENCE), "it warns");
}

#[test]
fn the_default_configuration_is_what_is_used_without_one() {
    let home = Home::new();
    let printed = crate::harness::home::finished(crate::harness::home::beacond().args(["config", "default"]));
    let printed = printed.succeeded().stdout;
    let file = home.write("default.toml", &printed);
    assert_eq!(Config::from_file(&file).unwrap(), Config::defaults().unwrap());
    assert!(printed.parse::<toml::Table>().unwrap().len() > 3);
    for line in printed.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')) {
        let key = line.split(" = ").next().unwrap();
        let commented =
            printed.lines().take_while(|other| *other != line).any(|other| other.starts_with("# "));
        assert!(commented, "{key} has no comment before it");
    }
    let config = ["--config", file.to_str().unwrap()];
    let daemon = home.serve_with(&config);
    assert_eq!(daemon.connect().open_refused("nobody"), "unknown_gateway");
    daemon.stop();
}

#[test]
fn an_address_in_use_is_named() {
    let home = Home::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (tcp_address, udp_address) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    for (listener, address) in
        [("--listen-tcp", tcp_address), ("--listen-udp", udp_address), ("--admin", tcp_address)]
    {
        let address = address.to_string();
        let failed = serve(&home, &[listener, &address]);
        let code = failed.code.filter(|code| *code != 0).unwrap();
        assert_names(&failed.failed_in_one_line(code), &[&address, "in use"]);
    }
}

#[test]
fn another_daemons_ports_are_in_use_too() {
    let (first, second) = (Home::new(), Home::new());
    let daemon = first.serve();
    for (listener, address) in [("--listen-tcp", daemon.tcp), ("--listen-udp", daemon.udp)] {
        let address = address.to_string();
        let failed = serve(&second, &[listener, &address]);
        let code = failed.code.filter(|code| *code != 0).unwrap();
        assert_names(&failed.failed_in_one_line(code), &[&address, "in use"]);
    }
    let mut gateway = daemon.udp_session("gateway");
    gateway.send(&frames::ping(1));
    gateway.receive();
}

#[test]
fn a_data_directory_that_cannot_be_made_or_written_to_is_named() {
    let home = Home::new();
    let file = home.write("file", "");
    for directory in [file.join("below"), file, "/proc/beacond".into()] {
        let mut command = crate::harness::home::beacond();
        let free = ["--listen-tcp", "127.0.0.1:0", "--listen-udp", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        command.arg("serve").args(free).arg("--data-dir").arg(&directory);
        let failed = crate::harness::home::finished(&mut command);
        let code = failed.code.filter(|code| *code != 0).unwrap();
        assert_names(&failed.failed_in_one_line(code), &[directory.to_str().unwrap()]);
    }
}

#[test]
fn a_data_directory_in_use_is_named_with_the_pid_of_its_daemon() {
    let home = Home::new();
    let daemon = home.serve();
    let failed = serve(&home, &[]);
    let code = failed.code.filter(|code| *code != 0).unwrap();
    let line = failed.failed_in_one_line(code);
    assert_names(&line, &[home.data().to_str().unwrap(), &daemon.pid().to_string()]);
    // The first is none the worse for it, and the directory is free when it is gone.
    let mut gateway = daemon.tcp_session("gateway");
    gateway.send(&frames::ping(1));
    gateway.receive();
    daemon.kill();
    home.serve().stop();
}

#[test]
fn the_ready_file_says_where_the_daemon_accepts() {
    let home = Home::new();
    let daemon = home.serve();
    let text = std::fs::read_to_string(home.path("ready.json")).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names: Vec<&String> = ready.as_object().unwrap().keys().collect();
    assert_eq!(names, ["admin", "tcp", "udp"]);
    for address in [daemon.tcp, daemon.udp, daemon.admin] {
        assert!(address.ip().is_loopback() && address.port() != 0);
    }
    daemon.tcp_session("gateway");
    daemon.udp_session("gateway");
    daemon.stats();
}

#[test]
fn a_ready_file_that_cannot_be_written_is_named() {
    let home = Home::new();
    let file = home.path("missing").join("ready.json");
    let failed = serve(&home, &["--ready-file", file.to_str().unwrap()]);
    let code = failed.code.filter(|code| *code != 0).unwrap();
    assert_names(&failed.failed_in_one_line(code), &[file.to_str().unwrap()]);
}
