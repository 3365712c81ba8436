"""What goes wrong at clients and what helps: the stories that sessions, commands, failures and memories are told from.

Texts may name ``{host}``, ``{ip}``, ``{domain}``, ``{client}`` and ``{number}``.
"""

from dataclasses import dataclass
from typing import Final

from worklore.knowledge.insight import InsightCategory
from worklore.knowledge.pattern import PatternType
from worklore.trail.failure import OperationType
from worklore.work.work_item import WorkCategory


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story.

    Attributes:
        roles: the roles of hosts it happens on.
        steps: commands that work, in order.
        failing: the command that fails at first, with its exit code and error.
        cure: what works instead, as a command; ``solution`` says it in words.
        files: files it touches.
        change: what becomes different on the host: type, before, after.
        sql: a statement run on a database, where there is one.
        talk: questions of the technician and answers of the agent.
    """

    key: str
    title: str
    roles: tuple[str, ...]
    category: WorkCategory
    tags: tuple[str, ...]
    steps: tuple[str, ...]
    failing: str
    exit_code: int
    error: str
    cause: str
    cure: str
    solution: str
    pattern: PatternType
    insight: InsightCategory
    operation: OperationType
    files: tuple[str, ...]
    change: tuple[str, str, str]
    talk: tuple[tuple[str, str], ...]
    sql: tuple[str, str] | None = None


SCENARIOS: Final = (
    Scenario(
        "backup-space",
        "Nightly backup stops for want of space",
        ("backup",),
        WorkCategory.maintenance,
        ("backup", "storage"),
        (
            "df -h /srv/backup",
            "journalctl -u backup-nightly --since yesterday",
            "restic snapshots --compact",
            "restic check --read-data-subset=2%",
            "systemctl list-timers backup-nightly.timer",
        ),
        "restic prune",
        1,
        "Fatal: unable to create lock in backend: repository is already locked by PID {number} on {host}",
        "A backup that was cut off left its lock behind, so old snapshots were never pruned and the volume filled up.",
        "restic unlock && restic forget --keep-daily 14 --keep-weekly 8 --prune",
        "Remove the stale lock first, then forget and prune in one step; the timer now unlocks before each run.",
        PatternType.command_compatibility,
        InsightCategory.command_constraints,
        OperationType.file_operation,
        ("/etc/systemd/system/backup-nightly.service", "/etc/restic/excludes.txt"),
        ("schedule", "prune by hand", "unlock, forget and prune after each nightly backup"),
        (
            (
                "The backup of {host} failed again last night, why?",
                ("The volume is at {number} percent. restic prune refuses because a lock of a run that was cut off is "
                "still there, so nothing has been pruned since. I will unlock, then forget and prune."),
            ),
            (
                "Do we lose anything by pruning?",
                ("No: the policy keeps 14 daily and 8 weekly snapshots. Everything older is what the client agreed "
                "to give up."),
            ),
        ),
    ),
    Scenario(
        "certificate-expired",
        "Certificate of the web server runs out",
        ("web", "proxy"),
        WorkCategory.security,
        ("certificate", "web"),
        (
            "openssl s_client -connect {host}:443 -servername www.{domain} </dev/null",
            "certbot certificates",
            "nginx -t",
            "systemctl reload nginx",
            "curl -sSI https://www.{domain}/",
        ),
        "certbot renew --cert-name www.{domain}",
        1,
        "Challenge failed for domain www.{domain}: Timeout during connect (likely firewall problem)",
        "The firewall lets port 80 in from the office only, so the HTTP challenge never arrives.",
        "certbot renew --cert-name www.{domain} --preferred-challenges dns",
        "Renew by the DNS challenge: port 80 stays closed from outside at this client.",
        PatternType.environmental_limitation,
        InsightCategory.network_constraints,
        OperationType.network_request,
        ("/etc/letsencrypt/renewal/www.{domain}.conf", "/etc/nginx/sites-enabled/www.conf"),
        ("certificate", "HTTP challenge, 12 days left", "DNS challenge, renewed for 90 days"),
        (
            (
                "www.{domain} warns about its certificate. Can you renew it?",
                ("certbot renew timed out: the HTTP challenge comes in on port 80 and the firewall drops it. This "
                "client keeps port 80 closed on purpose, so I renew with the DNS challenge."),
            ),
            (
                "Will it renew by itself next time?",
                "Yes. The renewal file now says preferred_challenges = dns, and the timer ran dry without an error.",
            ),
        ),
    ),
    Scenario(
        "replication-lag",
        "Domain controllers no longer replicate",
        ("directory",),
        WorkCategory.troubleshooting,
        ("identity", "dns"),
        (
            "repadmin /replsummary",
            "dcdiag /test:dns /v",
            "w32tm /query /status",
            "Get-ADReplicationFailure -Target {host}",
        ),
        "repadmin /syncall {host} /AdeP",
        8453,
        "SyncAll reported the following errors: Replication access was denied.",
        "The clock of the second controller was off by more than five minutes because it asked the hypervisor for the "
        "time, so Kerberos refused it.",
        "w32tm /config /syncfromflags:domhier /update; Restart-Service w32time",
        "Take the time from the domain hierarchy, not from the hypervisor; replication caught up by itself.",
        PatternType.configuration_error,
        InsightCategory.service_configuration,
        OperationType.service_restart,
        ("C:\\Scripts\\check-replication.ps1",),
        ("time source", "hypervisor", "domain hierarchy"),
        (
            (
                "People at {client} get old passwords refused on one controller only.",
                ("Replication to {host} was denied: its clock is six minutes off, and Kerberos allows five. It takes "
                "the time from the hypervisor. I point it at the domain hierarchy instead."),
            ),
            (
                "Is that going to come back after a reboot?",
                ("No, the setting is kept. I have also switched off time synchronisation in the guest's integration "
                "services."),
            ),
        ),
    ),
    Scenario(
        "mail-relay",
        "Outgoing mail waits in the queue",
        ("mail",),
        WorkCategory.troubleshooting,
        ("mail", "dns"),
        ("mailq | tail -1", "postconf -n", "dig +short TXT {domain}", "postqueue -f", "journalctl -u postfix -n 100"),
        "postsuper -r ALL",
        69,
        "postsuper: fatal: use of this command is reserved for the superuser",
        "The operator account may run postqueue and not postsuper; requeueing needs root by policy.",
        "sudo /usr/local/sbin/requeue-mail",
        "Use the wrapper requeue-mail, which sudo allows to operators; the SPF record now names the new relay.",
        PatternType.permission_denied,
        InsightCategory.permissions,
        OperationType.external_integration,
        ("/etc/postfix/main.cf", "/etc/postfix/transport"),
        ("relay host", "smtp-old.example.net", "smtp.example.net"),
        (
            (
                "Mail from {client} has not gone out since this morning.",
                ("{number} messages wait. The relay answers 550: the SPF record of {domain} still names the old "
                "relay. The record is corrected and the queue is being sent again."),
            ),
            (
                "Why did postsuper not work?",
                "It is for root only on {host}. Operators use requeue-mail, which sudo allows.",
            ),
        ),
    ),
    Scenario(
        "database-bloat",
        "Reports take minutes since the last release",
        ("database",),
        WorkCategory.troubleshooting,
        ("database", "monitoring"),
        (
            "psql -c 'select count(*) from pg_stat_activity'",
            "psql -d records -c 'select relname, n_dead_tup from pg_stat_user_tables order by 2 desc limit 10'",
            "iostat -x 5 3",
            "psql -d records -c 'explain analyze select * from ledger where booked_on > current_date - 30'",
        ),
        "vacuumdb --full records",
        1,
        'vacuumdb: error: vacuuming of table "ledger" in database "records" failed: could not extend file: No space '
        "left on device",
        "VACUUM FULL writes the table anew beside the old one and needs as much free space again.",
        "vacuumdb --analyze records && psql -d records -c 'reindex index concurrently ledger_booked_on'",
        "Plain VACUUM with ANALYZE and a concurrent reindex; autovacuum is set tighter for the ledger.",
        PatternType.environmental_limitation,
        InsightCategory.command_constraints,
        OperationType.database_query,
        ("/etc/postgresql/16/main/conf.d/autovacuum.conf", "/srv/reports/ledger.sql"),
        ("autovacuum", "scale factor 0.2", "scale factor 0.02 for the ledger"),
        (
            (
                "The month's report takes four minutes on {host}. It was seconds in spring.",
                ("The ledger has {number} million dead rows: autovacuum never reached its threshold. VACUUM FULL ran "
                "out of space, so I vacuum in place and rebuild the index concurrently."),
            ),
            (
                "How fast is it now?",
                "Three seconds. I set the scale factor of the ledger to 0.02 so that it stays that way.",
            ),
        ),
        ("records", "ALTER TABLE ledger SET (autovacuum_vacuum_scale_factor = 0.02)"),
    ),
    Scenario(
        "vpn-unstable",
        "Site-to-site tunnel drops every hour",
        ("firewall",),
        WorkCategory.configuration,
        ("vpn", "firewall"),
        (
            "swanctl --list-sas",
            "ping -c 20 {ip}",
            "tcpdump -ni wan0 udp port 500 -c 20",
            "swanctl --load-all",
        ),
        "swanctl --initiate --child branch",
        22,
        "initiate failed: establishing CHILD_SA 'branch' failed: NO_PROPOSAL_CHOSEN",
        "After its update the other side no longer accepts the old Diffie-Hellman group at rekeying.",
        "swanctl --load-conns && swanctl --rekey --child branch",
        "Both sides now propose the same stronger group; the tunnel held through six rekeyings.",
        PatternType.version_mismatch,
        InsightCategory.version_limitations,
        OperationType.network_request,
        ("/etc/swanctl/conf.d/branch.conf",),
        ("IPsec proposal", "aes256-sha256-modp1024", "aes256-sha256-ecp256"),
        (
            (
                "The branch of {client} loses its tunnel every hour, on the hour.",
                ("That is the rekeying. The peer answers NO_PROPOSAL_CHOSEN since its update: it no longer takes "
                "modp1024. I change the proposal to ecp256 on both ends."),
            ),
            (
                "Does that touch other tunnels on {host}?",
                "No, only the connection branch. I loaded that file alone and the others kept their associations.",
            ),
        ),
    ),
    Scenario(
        "patching",
        "Monthly updates with a restart",
        ("web", "database", "mail", "backup", "proxy"),
        WorkCategory.maintenance,
        ("patching", "recurring"),
        (
            "apt list --upgradable",
            "apt-get update",
            "needrestart -r l",
            "uname -r",
            "systemctl --failed",
            "last reboot | head -3",
        ),
        "apt-get -y dist-upgrade",
        100,
        "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process {number} (unattended-upgr)",
        "Unattended upgrades start at six and hold the lock for up to twenty minutes.",
        "apt-get -y -o DPkg::Lock::Timeout=1800 dist-upgrade",
        "Wait for the lock with DPkg::Lock::Timeout instead of killing the other process.",
        PatternType.service_unavailable,
        InsightCategory.command_constraints,
        OperationType.service_restart,
        ("/etc/apt/apt.conf.d/50unattended-upgrades", "/var/log/apt/history.log"),
        ("packages", "{number} packages behind", "all updates in, kernel running"),
        (
            (
                "Please patch {host} in tonight's window.",
                ("Done. dpkg was locked by unattended-upgrades at first, so I let apt wait for the lock rather than "
                "end that process. The kernel is new and nothing failed after the restart."),
            ),
        ),
    ),
    Scenario(
        "profile-disk",
        "Users cannot save to the file server",
        ("file",),
        WorkCategory.troubleshooting,
        ("storage", "recurring"),
        (
            "Get-PSDrive D",
            "Get-SmbShare | Format-Table Name, Path",
            "Get-ChildItem D:\\Profiles -Directory | Measure-Object",
            "Get-FsrmQuota | Sort-Object Usage -Descending | Select-Object -First 10",
        ),
        "Get-ChildItem D:\\Profiles -Recurse -Force -Parallel",
        1,
        "Get-ChildItem : A parameter cannot be found that matches parameter name 'Parallel'.",
        "This server has Windows PowerShell 5.1, where only ForEach-Object of version 7 knows -Parallel.",
        "robocopy D:\\Profiles NULL /L /S /NJH /BYTES /FP /NC /NDL /XJ",
        "Measure with robocopy /L, which is there on every version; the old profiles moved to the archive volume.",
        PatternType.version_mismatch,
        InsightCategory.version_limitations,
        OperationType.file_operation,
        ("D:\\Scripts\\profile-sizes.ps1", "D:\\Archive\\moved.csv"),
        ("volume D", "{number} percent full", "old profiles on the archive volume"),
        (
            (
                "Nobody at {client} can save, the share says it is full.",
                ("D: is full: {number} profiles of people who have left are still there. PowerShell on {host} is 5.1 "
                "and has no -Parallel, so I measured with robocopy and moved them to the archive volume."),
            ),
            (
                "Can we see it coming next time?",
                "There is a quota warning at 85 percent now, and it goes to the ticket queue.",
            ),
        ),
    ),
    Scenario(
        "hypervisor-memory",
        "Virtual machines are slow in the morning",
        ("hypervisor",),
        WorkCategory.infrastructure,
        ("virtualisation", "monitoring"),
        ("virsh list --all", "free -m", "virsh nodememstats", "numastat -m", "systemctl restart ksmtuned"),
        "virsh migrate --live app-{number} qemu+ssh://{host}/system",
        1,
        "error: internal error: unable to execute QEMU command 'migrate': CPU feature avx512f not available on target",
        "The older host's processor lacks features that the guest was started with.",
        "virsh define app-generic.xml && virsh start app-{number}",
        "Guests now use the common processor model, so that live migration works between both hosts.",
        PatternType.environmental_limitation,
        InsightCategory.custom_installations,
        OperationType.api_call,
        ("/etc/libvirt/qemu/app-generic.xml", "/etc/ksmtuned.conf"),
        ("processor model", "host-passthrough", "the model both hosts have"),
        (
            (
                "Everything on {host} crawls between eight and nine.",
                ("Memory is overcommitted by {number} percent and the morning's logons swap. One guest should move, "
                "but live migration fails: it was started with features the other host lacks."),
            ),
            (
                "Then restart it with a smaller processor model, at lunch.",
                "Agreed. The guest gets the common model, and from then on it can move without a restart.",
            ),
        ),
    ),
    Scenario(
        "switch-loop",
        "Network of one floor comes and goes",
        ("switch",),
        WorkCategory.troubleshooting,
        ("firewall", "phones"),
        (
            "show spanning-tree summary",
            "show mac address-table count",
            "show interfaces status err-disabled",
            "show logging last 100",
        ),
        "configure spanning-tree mode rapid-pvst",
        1,
        "% Invalid input detected: this image supports mstp only",
        "This firmware knows multiple spanning tree only; the command came from another model's notes.",
        "configure spanning-tree mode mstp; spanning-tree bpdu-guard default",
        "Multiple spanning tree with guard on access ports; a phone with both ports patched was the loop.",
        PatternType.command_compatibility,
        InsightCategory.command_constraints,
        OperationType.network_request,
        ("configs/{host}.txt",),
        ("spanning tree", "off on access ports", "mstp with bpdu-guard"),
        (
            (
                "The upper floor of {client} is offline for half a minute, then back, then off again.",
                ("A loop: {host} sees the same addresses on two ports. A desk phone was patched with both of its "
                "ports. The switch takes mstp only, so I turned that on with bpdu-guard."),
            ),
        ),
    ),
    Scenario(
        "printer-queue",
        "Print jobs vanish",
        ("file", "directory"),
        WorkCategory.troubleshooting,
        ("printing", "recurring"),
        ("Get-Printer | Format-Table Name, PortName", "Get-PrintJob -PrinterName Front", "Restart-Service Spooler"),
        "Remove-PrintJob -PrinterName Front -ID {number}",
        5,
        "Remove-PrintJob : Access is denied.",
        "The operator group was taken off the queue when the driver was changed.",
        "Set-Printer -Name Front -PermissionSDDL (Get-Content C:\\Scripts\\front.sddl)",
        "Give the operators back their right on the queue from the kept descriptor, then clear it.",
        PatternType.permission_denied,
        InsightCategory.permissions,
        OperationType.service_restart,
        ("C:\\Scripts\\front.sddl",),
        ("queue Front", "operators may not clear it", "operators may clear it"),
        (
            (
                "Front desk prints and nothing comes out.",
                ("A broken job stood first in the queue. I could not delete it: operators lost their right when the "
                "driver changed. The descriptor is back in place and the queue is empty."),
            ),
        ),
    ),
    Scenario(
        "new-workstation",
        "New workplace for a colleague",
        ("workstation",),
        WorkCategory.configuration,
        ("onboarding", "licensing"),
        (
            "hostname",
            "dsregcmd /status",
            "winget list --upgrade-available",
            "Get-BitLockerVolume C:",
            "gpresult /r /scope computer",
        ),
        "winget install --id Example.Suite --scope machine",
        2316632070,
        "No applicable installer found; see logs for more details.",
        "The package has an installer for single users only on this architecture.",
        "winget install --id Example.Suite --scope user",
        "Install in the user's scope, after the first sign-in; the task is in the onboarding list now.",
        PatternType.command_compatibility,
        InsightCategory.custom_installations,
        OperationType.api_call,
        ("docs/onboarding.md", "C:\\Deploy\\workplace.json"),
        ("workplace", "boxed", "joined, encrypted, handed over"),
        (
            (
                "Somebody new starts at {client} on Monday, can {host} be ready?",
                ("It is joined and encrypted. The suite has no installer for the whole machine here, so it is "
                "installed at the first sign-in, and the onboarding list says so."),
            ),
        ),
    ),
    Scenario(
        "storage-firmware",
        "Storage reports a degraded pool",
        ("storage",),
        WorkCategory.maintenance,
        ("storage", "urgent"),
        ("zpool status -v", "smartctl -a /dev/sd{number}", "zpool scrub tank", "zfs list -o name,used,avail"),
        "zpool replace tank old-disk new-disk",
        1,
        "cannot replace old-disk with new-disk: new device has a different optimal sector size",
        "The pool was made with 512-byte sectors and the new disks have 4,096.",
        "zpool replace -o ashift=9 tank old-disk new-disk",
        "Give the old sector size when replacing; a pool with larger sectors is planned for the next renewal.",
        PatternType.version_mismatch,
        InsightCategory.version_limitations,
        OperationType.file_operation,
        ("/etc/zfs/zed.d/zed.rc",),
        ("pool tank", "degraded, one disk faulted", "online, scrubbed without errors"),
        (
            (
                "{host} beeps and the pool is degraded.",
                ("One disk has {number} reallocated sectors. The replacement was refused for its sector size, so I "
                "named the old one, ashift=9. The scrub will take the night."),
            ),
            (
                "And the next disk?",
                "The same. I noted it with the host, and a new pool is in the plan for next year.",
            ),
        ),
    ),
    Scenario(
        "dns-record",
        "A name leads to the old server",
        ("directory", "proxy"),
        WorkCategory.configuration,
        ("dns", "migration"),
        ("dig +short app.{domain} @{ip}", "dig +trace app.{domain}", "rndc status", "curl -sSI https://app.{domain}/"),
        "rndc reload {domain}",
        1,
        "rndc: 'reload' failed: dynamic zone",
        "The zone takes dynamic updates; it must be frozen before a reload.",
        "rndc freeze {domain} && rndc thaw {domain}",
        "Freeze and thaw, which reads the file and keeps dynamic updates; lifetimes are back at an hour.",
        PatternType.configuration_error,
        InsightCategory.service_configuration,
        OperationType.network_request,
        ("/etc/bind/zones/db.{domain}",),
        ("app.{domain}", "address of the old server", "{ip}"),
        (
            (
                "app.{domain} still shows the old server to half of the people.",
                ("The zone was edited and never read: reload refuses a dynamic zone. After freeze and thaw all "
                "resolvers answer {ip}."),
            ),
        ),
    ),
)  # fmt: skip

WISHES: Final = (
    ("Move to the new mail platform", "migration", ("mail", "migration")),
    ("Renew the servers of the main office", "infrastructure", ("virtualisation", "migration")),
    ("Second factor for everybody", "security", ("identity", "onboarding")),
    ("Separate network for guests and phones", "network", ("firewall", "phones")),
    ("Backups that are tested each quarter", "operations", ("backup", "documentation")),
    ("Ordering portal", "development", ("web", "database")),
    ("Stock list on the web", "development", ("web", "documentation")),
    ("Put the documentation in order", "documentation", ("documentation",)),
    ("Monitoring of all sites", "operations", ("monitoring",)),
)
"""Projects that clients ask for: name, category, labels."""

PHASES: Final = (
    ("Take stock", "What is there, who uses it, what must not stop."),
    ("Plan the change", "Order, time window, way back."),
    ("Prepare", "Set up beside the running system."),
    ("Try with two people", "The pilot works with it for a week."),
    ("Cut over", "In the window, with the way back at hand."),
    ("Hand over", "Documentation, training, sign-off."),
)
"""Steps of a project: title, description."""

DECISIONS: Final = (
    (
        "architecture",
        "Run the new service beside the old one until the pilot has signed off",
        "A cut-over in one night leaves no way back when the pilot finds something.",
        ("Cut over in one night", "Move one department at a time"),
    ),
    (
        "security",
        "Administrators use a second account for administration",
        "The mailbox account is the one that gets phished.",
        ("One account with a second factor",),
    ),
    (
        "tooling",
        "Keep the configuration in the repository and apply it from there",
        "Three changes by hand were lost at the last update.",
        ("Document changes in the ticket",),
    ),
    (
        "network",
        "Phones get a network of their own",
        "A loop on a desk took the file server down with it.",
        ("Guard on access ports alone", "A second switch"),
    ),
    (
        "operations",
        "Restore a whole server each quarter, not single files",
        "The last real restore failed at the boot loader, which no file test had shown.",
        ("Restore ten random files each month",),
    ),
)
"""Decisions: type, text, rationale, what else was weighed."""

INCIDENTS: Final = (
    (
        "phishing",
        "medium",
        "Several people at {client} entered their password on a page that looked like the sign-in of {domain}.",
        "Three accounts had signed in from an unknown network within the hour.",
        "Passwords changed, sessions ended, the page reported, a second factor made mandatory.",
    ),
    (
        "brute_force",
        "low",
        "{host} saw thousands of failed sign-ins from {ip} in a night.",
        "No sign-in succeeded; the service was open to the world by an old rule.",
        "The rule is gone, the service answers inside the tunnel only.",
    ),
    (
        "malware",
        "high",
        "The scanner stopped a dropper on {host} that had come with an invoice.",
        "It was opened once; no other host asked for the address it calls.",
        "The workplace was set up anew and the attachment type is refused from now on.",
    ),
    (
        "ransomware",
        "critical",
        "Files on {host} were renamed by an unknown program at night.",
        "It came in over a forgotten remote access; {number} folders were hit before the share was taken away.",
        "Restored from the backup of the evening before, remote access closed, all passwords changed.",
    ),
    (
        "bec",
        "high",
        "A supplier of {client} got a mail from the manager's mailbox with another bank account in it.",
        "A rule in the mailbox had hidden the answers for two days.",
        "The rule and the foreign session were removed, the bank was told in time, nothing was paid.",
    ),
)
"""Security incidents: type, severity, description, findings, remediation."""

FOLLOW_UPS: Final = (
    "Ask {client} for the new serial number of {host}",
    "Replace the battery of the power supply beside {host}",
    "Take {host} out of the old monitoring",
    "Write down how {host} is restored",
    "Plan the end of support of {host}",
    "Check whether the licence of {host} is renewed",
    "Remove the temporary firewall rule for {host}",
)
"""Follow-ups noted in passing."""
