"""What the scripts about faults have in common: processes, visitors, disks that can be taken away.

Only Python's own library. Everything made here is unmade at the end, on Ctrl-C and on SIGTERM too.
"""

import collections
import contextlib
import http.client
import os
import pathlib
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A bound for a machine under load, not an expectation.
PATIENCE = 60
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
)
SALES_PAGE = "https://pages.example/invitation"


class Failed(Exception):
    """Something that must hold does not."""


def check(holds, what):
    if not holds:
        raise Failed(what)


def until(what, done):
    """Waits until `done` gives something true, and returns it."""
    begin = time.monotonic()
    while not (value := done()):
        check(time.monotonic() - begin < PATIENCE, f"waited in vain: {what}")
        time.sleep(0.02)
    return value


def run(*command, **options):
    """Runs a program to its end; what it printed."""
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    check(ran.returncode == 0, f"{' '.join(map(str, command))}: {ran.stdout}{ran.stderr}")
    return ran.stdout


def binaries(given):
    """The directory of the binaries under test."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    directory = pathlib.Path(given) if given else target / "debug"
    for name in ["tagalong", "tagalong-redirect", "tagalong-attendee-registry"]:
        if not (directory / name).exists():
            sys.exit(f"{directory / name} is missing. First: cargo build --workspace --bins")
    return directory.resolve()


def needs_root():
    if os.geteuid() != 0:
        sys.exit("Needs root: it mounts filesystems.")


@contextlib.contextmanager
def workshop():
    """A directory, and a stack of what has to be undone before it goes."""

    signals = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

    def end(number, _):
        # Once: impatience shall not interrupt the undoing.
        for other in signals:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in signals:
        signal.signal(number, end)
    with tempfile.TemporaryDirectory(prefix="tagalong-faults-") as directory:
        with contextlib.ExitStack() as undo:
            yield pathlib.Path(directory), undo


class Process:
    """A service that prints its addresses, and can be killed and started again on the same ones."""

    def __init__(self, undo, program, binds, settings, output):
        self.program, self.settings, self.output = program, settings, output
        # A loopback address of its own: nobody else gets its ports while it is down.
        self.host = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(2, 254)}"
        self.binds = dict.fromkeys(binds)
        self.child = None
        undo.callback(self.kill9)

    def start(self, **more):
        settings = self.settings | more
        for setting, address in self.binds.items():
            settings[setting] = address or f"{self.host}:0"
        command = [self.program]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TAGALONG", "OTEL_", "RUST_LOG"))
        }
        with open(self.output, "ab") as output:
            self.child = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=output, text=True, env=environment
            )
        missing = {setting.split(".")[1]: setting for setting in self.binds}
        for line in self.child.stdout:
            # `redirect http 127.0.0.1:8080`
            words = line.split()
            if len(words) == 3 and words[1] in missing:
                self.binds[missing.pop(words[1])] = words[2]
            if not missing:
                break
        check(not missing, f"{self.program.name} does not start:\n{self.tail()}")
        until(f"{self.program.name} is ready", self.is_ready)

    def address(self, kind):
        return next(bound for name, bound in self.binds.items() if name.endswith("." + kind))

    def get(self, path):
        """Status and text of a page on the admin port."""
        try:
            with urllib.request.urlopen(f"http://{self.address('admin')}{path}", timeout=30) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return None, str(error)

    def is_ready(self):
        check(self.child.poll() is None, f"{self.program.name} ended:\n{self.tail()}")
        return self.get("/readyz")[0] == 200

    def metric(self, name, label=""):
        """The sum of a metric over its labels."""
        status, text = self.get("/metrics")
        check(status == 200, f"/metrics answers {status}")
        lines = [line for line in text.splitlines() if re.match(name + r"(_total)?[ {]", line)]
        check(lines, f"there is no metric {name}")
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if label in line)

    def printed(self):
        return self.output.read_text(errors="replace")

    def tail(self):
        return "\n".join(self.printed().splitlines()[-30:])

    def stop(self):
        """SIGSTOP; returns when no thread runs any more, not even in the kernel."""
        self.child.send_signal(signal.SIGSTOP)
        threads = pathlib.Path(f"/proc/{self.child.pid}/task")

        def stopped():
            states = [(task / "stat").read_text().rsplit(")", 1)[1] for task in threads.iterdir()]
            return all(state.split()[0] in "Tt" for state in states)

        until("every thread has stopped", stopped)

    def go_on(self):
        self.child.send_signal(signal.SIGCONT)

    def kill9(self):
        if self.child:
            self.child.kill()
            self.child.wait()
            self.child.stdout.close()
            self.child = None


class Tagalong:
    """A registry with one product, and a redirect in front of it."""

    def __init__(self, undo, directory, programs):
        self.programs, self.directory = programs, directory
        directory.mkdir(parents=True, exist_ok=True)
        self.tokens = directory / "token-keys.toml"
        run(programs / "tagalong", "key", "generate", "--file", self.tokens)
        self.registry_data = directory / "registry"
        self.registry_data.mkdir()
        self.registry = Process(
            undo,
            programs / "tagalong-attendee-registry",
            ["attendee_registry.http", "attendee_registry.grpc", "attendee_registry.admin"],
            {"attendee_registry.token_keys": self.tokens} | self.registry_at(self.registry_data),
            directory / "registry.log",
        )
        self.registry.start()
        self.redirect = Process(
            undo,
            programs / "tagalong-redirect",
            ["redirect.http", "redirect.grpc", "redirect.admin"],
            {
                "redirect.registry": f"http://{self.registry.address('grpc')}",
                "redirect.token_keys": self.tokens,
                "redirect.data": directory / "redirect",
                "redirect.cookie_secure": "false",
            },
            directory / "redirect.log",
        )
        page = f"{SALES_PAGE}?aff={{affiliate}}&click={{click}}"
        checkout = "https://checkout.example/ticket?affiliate={affiliate}"
        self.tell("programme", "create", "copecart", "--platform", "copecart")
        for product in ["ticket", "course"]:
            page_of = ["--sales-page", page] if product == "ticket" else []
            names = ["--programme", "copecart", *page_of, "--checkout", checkout]
            self.tell("product", "create", product, *names)
        self.tell("webinar", "create", "launch", "--promotes", "ticket", "--offers", "course")

    @staticmethod
    def registry_at(data):
        return {
            "attendee_registry.database": f"sqlite://{data}/registry.sqlite",
            "attendee_registry.data_keys": f"{data}/data-keys.toml",
        }

    def tell(self, *words):
        return run(
            self.programs / "tagalong",
            *words,
            "--registry",
            f"http://{self.registry.address('grpc')}",
        )

    def start_redirect(self, data):
        """Starts it on a data directory, and waits until it could start there without a registry."""
        self.redirect.settings["redirect.data"] = data
        self.redirect.start()
        saved = data / "catalogue.bin"
        until("the catalogue is saved", lambda: saved.exists() and b"course" in saved.read_bytes())

    def visitors(self, undo, people=8, more=""):
        return Visitors(undo, self.redirect.address("http"), people, more)

    def clicks(self, data=None):
        """What the registry's database holds: for each visit, the IDs of its clicks."""
        rows = query(
            (data or self.registry_data) / "registry.sqlite", "SELECT id, sub_ids FROM click"
        )
        clicks = collections.defaultdict(list)
        for click, visit in rows:
            clicks[visit.split("\n")[0]].append(str(uuid.UUID(bytes=click)))
        return clicks

    def arrived(self, visits):
        """Waits until everything recorded has been shipped; whatever visits are missing then."""
        until("nothing waits to be shipped", lambda: self.all_shipped(visits))
        clicks = self.clicks()
        for visit, found in clicks.items():
            check(len(found) == 1, f"visit {visit} counts {len(found)} times")
        for visit, answer in visits.items():
            if visit in clicks:
                check(clicks[visit] == [answer.click], f"visit {visit} has another click's ID")
        return set(visits) - set(clicks)

    def all_shipped(self, visits):
        if self.redirect.metric("tagalong_clicks_backlog") > 0:
            return False
        # A new visit goes last: when it has arrived, so has everything before it.
        visit = f"last-{uuid.uuid4()}"
        answer = Visitor(self.redirect.address("http")).visit(visit)
        check(answer, "the redirect answers nobody")
        if not answer.promised:
            return False
        visits[visit] = answer
        until("the last visit arrives", lambda: visit in self.clicks())
        return True


Answer = collections.namedtuple("Answer", "click promised at")


class Visitor:
    """Somebody's browser, on a connection that is kept."""

    def __init__(self, address):
        self.address, self.connection = address, None

    def visit(self, visit, more=""):
        """Follows the affiliate link, with more parameters in it. None where there is no answer."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.address, timeout=30)
            path = f"/ticket/p/max/?sub1={visit}&consent=1{more}"
            self.connection.request("GET", path, headers={"User-Agent": PHONE})
            answer = self.connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.leave()
            return None
        at = time.monotonic()
        page = answer.getheader("Location", "")
        check(answer.status == 302 and page.startswith(SALES_PAGE), f"answered {answer.status} {page}")
        parameters = urllib.parse.parse_qs(urllib.parse.urlsplit(page).query)
        check(parameters["aff"] == ["max"], f"the affiliate is missing in {page}")
        click = parameters["click"][0]
        cookie = answer.getheader("Set-Cookie")
        check(cookie is None or cookie.startswith(f"tagalong={click};"), f"a cookie of another click")
        # It is set only where the click is durable.
        return Answer(click, cookie is not None, at)

    def leave(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Visitors:
    """People who follow links, each in a thread of their own, until told to stop."""

    def __init__(self, undo, address, people, more):
        self.address, self.more_parameters = address, more
        self.visits, self.unanswered = {}, 0
        self.error, self.stopping = None, threading.Event()
        self.name = uuid.uuid4().hex[:8]
        self.threads = [
            threading.Thread(target=self.follow, args=(n,), daemon=True) for n in range(people)
        ]
        undo.callback(self.stopping.set)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def follow(self, person):
        visitor = Visitor(self.address)
        n = 0
        while not self.stopping.is_set():
            n += 1
            visit = f"{self.name}-{person}-{n}"
            try:
                answer = visitor.visit(visit, self.more_parameters)
            except Failed as error:
                self.error = error
                return
            if answer:
                self.visits[visit] = answer
            else:
                self.unanswered += 1
                self.stopping.wait(0.01)
        visitor.leave()

    def more(self, count, which=lambda answer: True):
        """Waits for this many more answers of a kind."""
        known = len(self.visits)

        def enough():
            check(self.error is None, str(self.error))
            new = list(self.visits.values())[known:]
            return sum(map(which, new)) >= count

        until(f"{count} more answers", enough)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        check(self.error is None, str(self.error))

    def promised(self):
        return {visit: answer for visit, answer in self.visits.items() if answer.promised}


def query(path, sql):
    """Reads from a database that somebody else may be writing to."""
    connection = sqlite3.connect(path, timeout=PATIENCE)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


BLOCK = 4096


class Disk:
    """An ext4 filesystem in a file, mounted through a loop device."""

    def __init__(self, undo, directory, name, megabytes=48, options=""):
        self.file, self.mount = directory / f"{name}.img", directory / name
        self.options, self.mounted = options, False
        self.mount.mkdir()
        with open(self.file, "wb") as image:
            image.truncate(megabytes << 20)
        run("mkfs.ext4", "-q", "-F", "-b", BLOCK, self.file)
        undo.callback(self.remove)

    def make_free_blocks_scarce(self):
        """Takes room for the filesystem's own data, and none for files: that has to be found when they are written."""
        self.file.write_bytes(self.file.read_bytes())
        described = run("dumpe2fs", self.file)
        for group in re.findall(r"^  Free blocks: (.*)$", described, re.MULTILINE):
            for first, last in re.findall(r"(\d+)-(\d+)", group):
                begin, end = int(first) * BLOCK, (int(last) + 1) * BLOCK
                run("fallocate", "-p", "-o", begin, "-l", end - begin, self.file)

    def attach(self):
        """Mounts it."""
        # Nothing but fsync brings anything to this disk.
        options = ",".join(filter(None, ["loop,commit=600", self.options]))
        mounted = subprocess.run(
            ["mount", "-o", options, self.file, self.mount], capture_output=True, text=True
        )
        if mounted.returncode != 0:
            sys.exit(f"CANNOT TEST: no loop devices here: {mounted.stderr.strip()}")
        self.mounted = True
        return self

    def detach(self):
        if self.mounted:
            run("umount", self.mount)
            self.mounted = False

    def cut(self, undo, directory, name):
        """What would be found on it after a power cut now: another disk."""
        other = Disk.__new__(Disk)
        other.file, other.mount = directory / f"{name}.img", directory / name
        other.options, other.mounted = self.options, False
        other.mount.mkdir()
        run("cp", "--sparse=always", self.file, other.file)
        undo.callback(other.remove)
        return other

    def remove(self):
        with contextlib.suppress(Failed):
            self.detach()
        if self.mounted:
            subprocess.run(["umount", "-l", self.mount], check=False)
            self.mounted = False
        self.file.unlink(missing_ok=True)


class Tmpfs:
    """A filesystem of limited size in memory."""

    def __init__(self, undo, directory, megabytes):
        self.mount = directory
        directory.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", directory],
            capture_output=True,
            text=True,
        )
        if mounted.returncode != 0:
            sys.exit(f"CANNOT TEST: no tmpfs here: {mounted.stderr.strip()}")
        undo.callback(lambda: subprocess.run(["umount", "-l", directory], check=False))

    def fill(self):
        """Leaves no room at all."""
        with open(self.mount / "filler", "ab", buffering=0) as filler:
            for size in [1 << 16, 1]:
                with contextlib.suppress(OSError):
                    while filler.write(bytes(size)) == size:
                        pass

    def free(self):
        (self.mount / "filler").unlink()


@contextlib.contextmanager
def strace(process, what, calls="fsync,fdatasync"):
    """Tampers with system calls of a running process, as `strace -e inject=` says."""
    log = process.output.with_suffix(".strace")
    command = ["strace", "-f", "-p", str(process.child.pid), "-o", log]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:{what}"]
    try:
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        sys.exit("CANNOT TEST: strace is not installed.")
    try:
        # It says so when it is there.
        said = tracer.stderr.readline()
        check("attached" in said, f"strace: {said}")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        tracer.stderr.close()
