"""A made-up corpus: texts with planted secrets and lines that hold none, as technicians and developers write them.

Seeded, and nothing in it is real: each secret is random, each address is one of those kept for documentation. It was
written from how makers describe their tokens and how people write notes, and not from the rules: it imports none of
them. ``python -m tests.redact.corpus`` prints some of it.
"""

import base64
import hashlib
import json
import random
import string
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"
BASE64 = ALNUM + "+/"
URLSAFE = ALNUM + "-_"
BASE32 = string.ascii_uppercase + "234567"


@dataclass(frozen=True)
class Planted:
    """A text, the secrets in it, and of which kind they are."""

    text: str
    secrets: tuple[str, ...]
    kind: str


class Maker:
    """Random pieces of which texts are made."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def of(self, letters: str, count: int) -> str:
        """A random text that holds enough different letters to be no accident."""
        return "".join(self.random.choice(letters) for _ in range(count))

    def one(self, *choices: str) -> str:
        return self.random.choice(choices)

    def word(self) -> str:
        return self.random.choice(WORDS)

    def host(self) -> str:
        return self.random.choice(HOSTS)

    def person(self) -> str:
        return self.random.choice(PEOPLE)

    def client(self) -> str:
        return self.random.choice(CLIENTS)

    def address(self) -> str:
        return self.random.choice(("192.0.2.", "198.51.100.", "203.0.113.")) + str(self.random.randint(1, 254))

    def password(self) -> str:
        """As people make them up and as programs do."""
        word = self.random.choice(WORDS)
        year = str(self.random.randint(1960, 2026))
        symbol = self.random.choice("!?#$%&*+@")
        kinds: tuple[Callable[[], str], ...] = (
            lambda: word.capitalize() + year + symbol,
            lambda: word.capitalize() + symbol + str(self.random.randint(10, 999)),
            lambda: (
                word[:1].upper()
                + word[1:].replace("o", "0").replace("e", "3")
                + symbol
                + str(self.random.randint(1, 99))
            ),
            lambda: self.of(ALNUM, self.random.randint(9, 16)) + str(self.random.randint(0, 9)),
            lambda: self.of(ALNUM + "!#$%&*+-=?@^_", self.random.randint(12, 20)) + "7x",
            lambda: f"{word}-{self.random.choice(WORDS)}-{self.random.randint(10, 99)}",
            lambda: (
                self.random.choice(("Welcome", "Winter", "Sommer", "Start", "Admin", "Hallo"))
                + str(self.random.randint(10, 2026))
                + symbol
            ),
            lambda: self.of(LOWER, 8) + str(self.random.randint(10, 99)),
            lambda: word.capitalize() + self.random.choice(WORDS).capitalize() + str(self.random.randint(10, 9999)),
        )
        return self.random.choice(kinds)()

    def hidden(self, size: int) -> str:
        return base64.b64encode(self.random.randbytes(size)).decode()


WORDS = [
    "falcon",
    "river",
    "copper",
    "meadow",
    "tiger",
    "lantern",
    "orchid",
    "granite",
    "pepper",
    "harbor",
    "velvet",
    "comet",
    "maple",
    "thunder",
    "saddle",
    "walnut",
    "ginger",
    "anchor",
    "bottle",
    "canyon",
    "dragon",
    "ember",
    "forest",
    "glacier",
    "hammer",
    "island",
    "jungle",
    "kettle",
    "lemon",
    "marble",
    "needle",
    "ocean",
    "pickle",
    "quartz",
    "rocket",
    "silver",
    "turtle",
    "umbra",
    "violet",
    "window",
    "yellow",
    "zipper",
    "sonne",
    "garten",
    "brunnen",
    "kiefer",
]
HOSTS = [
    "FW01",
    "SRV-DC01",
    "dc02",
    "nas-01",
    "sw-core-1",
    "ap-lobby",
    "esx03",
    "backup01",
    "web-prod-2",
    "sql01",
    "print01",
    "vpn-gw",
    "rds02",
    "mail01",
    "ilo-esx03",
]
PEOPLE = [
    "admin",
    "root",
    "jdoe",
    "mmiller",
    "svc_backup",
    "administrator",
    "sa",
    "helpdesk",
    "k.lang",
    "anna",
    "technik",
    "oper",
]
CLIENTS = ["Northwind", "Contoso", "Fabrikam", "Bluepeak", "Lakeside", "Hillcrest", "Tannhof", "Rosenbauer"]

Template = Callable[[Maker], tuple[str, tuple[str, ...] | str]]


def _formats() -> dict[str, Callable[[Maker], str]]:
    """Tokens as their makers describe them."""
    return {
        "aws": lambda m: m.one("AKIA", "ASIA") + m.of(BASE32, 16),
        "github": lambda m: m.one("ghp_", "gho_", "ghu_", "ghs_", "ghr_") + m.of(ALNUM, 36),
        "github-fine": lambda m: "github_pat_" + m.of(ALNUM, 22) + "_" + m.of(ALNUM, 59),
        "gitlab": lambda m: m.one("glpat-", "gldt-", "glrt-") + m.of(URLSAFE, 20),
        "slack-bot": lambda m: f"xoxb-{m.of(string.digits, 12)}-{m.of(string.digits, 13)}-{m.of(ALNUM, 24)}",
        "slack-app": lambda m: f"xapp-1-A{m.of(UPPER, 10)}-{m.of(string.digits, 13)}-{m.of(HEX, 64)}",
        "stripe": lambda m: m.one("sk_live_", "rk_live_", "sk_test_") + m.of(ALNUM, 24),
        "stripe-webhook": lambda m: "whsec_" + m.of(ALNUM, 32),
        "google": lambda m: "AIza" + m.of(URLSAFE, 34) + m.of(ALNUM, 1),
        "google-oauth": lambda m: "GOCSPX-" + m.of(URLSAFE, 28),
        "google-access": lambda m: "ya29." + m.of(URLSAFE, 120),
        "anthropic": lambda m: "sk-ant-api03-" + m.of(URLSAFE, 93) + "AA",
        "openai": lambda m: "sk-" + m.of(ALNUM, 48),
        "openai-project": lambda m: "sk-proj-" + m.of(URLSAFE, 74),
        "npm": lambda m: "npm_" + m.of(ALNUM, 36),
        "pypi": lambda m: "pypi-AgEIcHlwaS5vcmc" + m.of(URLSAFE, 150),
        "jwt": lambda m: ".".join(
            (
                base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("="),
                base64.urlsafe_b64encode(
                    json.dumps({"sub": m.of(LOWER, 8), "iat": m.random.randint(10**9, 2 * 10**9)}).encode()
                )
                .decode()
                .rstrip("="),
                m.of(URLSAFE, 43),
            )
        ),
        "huggingface": lambda m: "hf_" + m.of(string.ascii_letters, 34),
        "digitalocean": lambda m: "dop_v1_" + m.of(HEX, 64),
        "sendgrid": lambda m: f"SG.{m.of(URLSAFE, 22)}.{m.of(URLSAFE, 43)}",
        "mailgun": lambda m: "key-" + m.of(HEX, 32),
        "shopify": lambda m: "shpat_" + m.of(HEX, 32),
        "docker": lambda m: "dckr_pat_" + m.of(URLSAFE, 27),
        "vault": lambda m: "hvs." + m.of(URLSAFE, 90),
        "terraform": lambda m: f"{m.of(ALNUM, 14)}.atlasv1.{m.of(ALNUM, 67)}",
        "azure-client": lambda m: f"{m.of(ALNUM, 3)}8Q~{m.of(ALNUM + '-_.~', 34)}",
        "telegram": lambda m: f"{m.of('123456789', 10)}:AA{m.of(URLSAFE, 33)}",
        "linear": lambda m: "lin_api_" + m.of(ALNUM, 40),
        "tailscale": lambda m: f"tskey-auth-k{m.of(ALNUM, 10)}CNTRL-{m.of(ALNUM, 32)}",
        "grafana": lambda m: f"glsa_{m.of(ALNUM, 32)}_{m.of(HEX, 8)}",
        "newrelic": lambda m: "NRAK-" + m.of(UPPER, 27),
        "databricks": lambda m: "dapi" + m.of(HEX, 32),
        "postman": lambda m: f"PMAK-{m.of(HEX, 24)}-{m.of(HEX, 34)}",
        "groq": lambda m: "gsk_" + m.of(ALNUM, 52),
        "replicate": lambda m: "r8_" + m.of(ALNUM, 37),
        "figma": lambda m: "figd_" + m.of(URLSAFE, 40),
        "airtable": lambda m: f"pat{m.of(ALNUM, 14)}.{m.of(HEX, 64)}",
        "mailchimp": lambda m: f"{m.of(HEX, 32)}-us{m.random.randint(1, 21)}",
        "twilio": lambda m: "SK" + m.of(HEX, 32),
        "age": lambda m: "AGE-SECRET-KEY-1" + m.of(UPPER, 58),
        "worklore": lambda m: "wl_" + m.of(ALNUM, 49),
    }


FORMATS = _formats()

AROUND: tuple[str, ...] = (
    "{}",
    "export TOKEN={}",
    'headers = {{"Authorization": "Bearer {}"}}',
    "I pasted the key {} into the form and it works now.",
    "use this one: {}",
    "  api_token: {}",
    'const client = new Client("{}");',
    "curl -H 'X-Api-Key: {}' https://api.example.com/v1/items",
    "[ERROR] 401 for token {} at 2026-03-04T10:11:12Z",
    '{{"key":"{}","ok":true}}',
    "git clone https://oauth2:{}@git.example.com/team/app.git",
    "Token ({}) expires in 30 days.",
)

PROSE: tuple[str, ...] = (
    "The admin password for {host} is {pw}",
    "the admin pw for {host} is {pw}, please change it",
    "New password for {person}: {pw}",
    "password: {pw}",
    "Password = {pw}",
    "pw: {pw}",
    "PW {pw}",
    "pass: {pw}",
    "Reset {person}'s password to {pw} and told him by phone.",
    "I changed the root password to {pw} on {host}.",
    "changed the password of {person} from {pw} to {pw2}",
    "Login: {person} / {pw}",
    "creds are {person}/{pw}",
    "credentials for {host}: {person}:{pw}",
    "user: {person} password: {pw}",
    "username {person}, password {pw}",
    "log in as {person} with {pw}",
    "The password is still {pw} after the migration.",
    "Passwort für {person}: {pw}",
    "Das Kennwort lautet {pw}",
    "das Passwort von {host} ist {pw}",
    "Zugangsdaten: {person} / {pw}",
    "Mot de passe : {pw}",
    "la contraseña es {pw}",
    "wachtwoord: {pw}",
    "{pw} is the password for the switch",
    "use {pw} as the password",
    "- Password: `{pw}`",
    "**Password:** {pw}",
    "| {person} | password | {pw} |",
    "iLO pass: {pw}",
    "BIOS password is {pw}",
    "LAPS password for {host}: {pw}",
    "DSRM password: {pw}",
    "temp password ({person}): {pw}",
    "Kennwort neu: {pw}",
    'the password is "{pw}"',
    "password for the {client} wifi is '{pw}'",
    "Passwd on {host}: {pw}",
    "pwd={pw}",
    "local admin pw = {pw}",
    "The passphrase for the key is {pw}.",
    "RDP: {address} user {person} pw {pw}",
    "{client} VPN: psk {pw}",
    "Wi-Fi password: {pw}",
    "WLAN key: {pw}",
    "PSK is {pw}",
    "pre-shared key for the tunnel to {client}: {pw}",
    "RADIUS shared secret: {pw}",
    "shared secret is {pw}",
    "SNMP community: {pw}",
    "SNMP community string is {pw}",
    "the read community on {host} is {pw}",
    "Set the enable password to {pw}",
    "Their old password was {pw}",
    "password has been set to {pw}",
    "Initialpasswort: {pw}",
    "app password for scan-to-mail: {pw}",
    "bind password {pw}",
    "Encryption password of the backup: {pw}",
    "Keepass master password: {pw}",
    "sa password {pw} on {host}",
    "OK so the pw I used was {pw}",
    "Here is the login for the firewall: {person} {pw}",
)

COMMANDS: tuple[str, ...] = (
    "net user {person} {pw} /add",
    "net user {person} {pw} /domain",
    "net use Z: \\\\{host}\\data /user:{client}\\{person} {pw}",
    "net use \\\\{host}\\c$ {pw} /user:{person}",
    "cmdkey /add:{host} /user:{person} /pass:{pw}",
    "cmdkey /generic:TERMSRV/{host} /user:{person} /pass:{pw}",
    "sshpass -p {shell} ssh {person}@{address}",
    "sshpass -p{shell} scp x {person}@{address}:/tmp",
    "mysql -h {host} -u {person} -p{shell} app",
    "mysqldump -u{person} -p{shell} --all-databases > all.sql",
    "PGPASSWORD={shell} psql -h {host} -U {person}",
    "curl -u {person}:{shell} https://{address}/rest/system",
    "curl --user '{person}:{shell}' https://{address}/",
    "wget --http-user={person} --http-password={shell} https://{address}/f",
    "docker login -u {person} -p {shell} registry.example.com",
    "echo {shell} | sudo -S systemctl restart nginx",
    "echo '{person}:{shell}' | chpasswd",
    "echo {shell} | docker login -u {person} --password-stdin",
    "plink -ssh {person}@{address} -pw {shell}",
    "psexec \\\\{host} -u {person} -p {shell} cmd",
    "schtasks /create /tn job /tr c:\\x.bat /ru {person} /rp {shell}",
    "xfreerdp /v:{address} /u:{person} /p:{shell}",
    "smbclient //{host}/share -U {person}%{shell}",
    "mount -t cifs //{host}/s /mnt -o username={person},password={shell}",
    "ldapsearch -x -D cn=admin,dc=example,dc=com -w {shell} -b dc=example,dc=com",
    "redis-cli -h {host} -a {shell} ping",
    "sqlcmd -S {host} -U sa -P {shell} -Q 'select 1'",
    "ipmitool -I lanplus -H {address} -U {person} -P {shell} power status",
    "openssl pkcs12 -in c.pfx -passin pass:{shell} -nodes",
    "7z x backup.7z -p{shell}",
    "unzip -P {shell} backup.zip",
    "$p = ConvertTo-SecureString '{shell}' -AsPlainText -Force",
    '$p = ConvertTo-SecureString "{shell}" -AsPlainText -Force; New-LocalUser {person} -Password $p',
    "netdom join {host} /domain:example.com /userd:{person} /passwordd:{shell}",
    "mongosh mongodb://{person}:{url}@{host}:27017/app",
    "tool sync --host {address} --username {person} --password {shell}",
    "tool sync --password={shell} --verbose",
    "vault-cli --token {hex40} list",
    "snmpwalk -v2c -c {shell} {address} 1.3.6.1.2.1.1",
    "snmpget -v3 -u {person} -l authPriv -a SHA -A {shell} -x AES -X {pw2} {address} sysName.0",
    "ALTER USER {person} WITH PASSWORD '{sql}';",
    "CREATE USER '{person}'@'%' IDENTIFIED BY '{sql}';",
    "ALTER LOGIN sa WITH PASSWORD = '{sql}';",
    "htpasswd -bc /etc/nginx/.htpasswd {person} {shell}",
    "aws configure set aws_secret_access_key {aws40}",
    "restic -r sftp:{host}:/b --password-command 'echo {shell}' snapshots",
    "export DB_PASSWORD={shell}",
    '$env:API_TOKEN = "{hex40}"',
    "setx ADMIN_PASSWORD {shell}",
    "kubectl create secret generic db --from-literal=password={shell}",
)

CONFIGS: tuple[str, ...] = (
    "DB_PASSWORD={shell}",
    "SMTP_PASS={shell}",
    "SECRET_KEY={token50}",
    "JWT_SECRET={token50}",
    "database:\n  user: app\n  password: {yaml}\n",
    '  password: "{json}"',
    '"password": "{json}",',
    '{{"username": "{person}", "password": "{json}"}}',
    "spring.datasource.password={shell}",
    "DATABASE_URL=postgres://app:{url}@{host}:5432/app",
    "redis://:{url}@{host}:6379/0",
    "amqp://svc:{url}@{host}:5672//",
    "Server={host};Database=crm;User Id=sa;Password={conn};",
    "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={b64key};EndpointSuffix=core.windows.net",
    "Endpoint=sb://bus.example.com/;SharedAccessKeyName=Root;SharedAccessKey={b64short}",
    "machine {host} login {person} password {shell}",
    "{host}:5432:app:{person}:{pgpass}",
    "<password>{xml}</password>",
    '<add key="SmtpPassword" value="{xml}" />',
    "[mail]\nsmtp_password = {shell}\n",
    "requirepass {shell}",
    "enable secret 5 $1${salt}${hash22}",
    "username {person} privilege 15 password 7 {cisco7}",
    "username {person} secret 9 $9${salt14}${hash43}",
    "snmp-server community {alnum12} RO",
    "rocommunity {alnum12} 192.0.2.0/24",
    "tacacs-server host {address} key {alnum12}",
    "radius-server key 7 {cisco7}",
    "crypto isakmp key {alnum12} address {address}",
    "    set psksecret ENC {b64key}",
    "    set password ENC {b64short}",
    'set security ike policy p pre-shared-key ascii-text "{alnum12}"',
    "wpa_passphrase={alnum12}",
    "/ppp secret add name={person} password={alnum12} service=l2tp",
    "PrivateKey = {wg}",
    "PresharedKey = {wg}",
    "aws_secret_access_key = {aws40}",
    "//registry.example.com/:_authToken={uuid}",
    "api_key: {hex32}",
    "  client_secret: {token40}",
    '"apiKey": "{hex32}",',
    "X-Api-Key: {hex40}",
    "Authorization: Basic {basic}",
    "Authorization: Bearer {token40}",
    "Authorization: Token {hex40}",
    "Cookie: session={token50}; theme=dark",
    "Set-Cookie: sid={token40}; HttpOnly",
    'NEXTAUTH_SECRET="{b64short}"',
    "ENCRYPTION_KEY={hex64}",
    '  "auth": "{basic}"',
    "https://acct.blob.example.com/c/f?sv=2024-01-01&se=2026-01-01&sr=b&sp=r&sig={sig}",
    "https://api.example.com/v1?access_token={token40}",
    'password = "{json}"  # prod',
    'os.environ["DB_PASSWORD"] = "{json}"',
    'client = connect(host="{host}", password="{json}")',
    'conn = psycopg.connect("dbname=app user=app password={shell} host={host}")',
    "const apiKey = '{hex32}';",
    'var token = "{token40}";',
    "define('DB_PASSWORD', '{json}');",
    "$cfg['password'] = '{json}';",
    "ansible_password: {yaml}",
    "ansible_become_pass={shell}",
    'variable "db_password" {{ default = "{json}" }}',
    'new NetworkCredential("{person}", "{json}")',
    "$2y$10${hash53}",
    "root:$6${salt}${hash86}:19000:0:99999:7:::",
)

NUMBERS: tuple[str, ...] = (
    "PIN {pin}",
    "the PIN is {pin}",
    "alarm code: {pin}",
    "Door code {pin} at the back entrance",
    "PIN für den Tresor: {pin}",
    "SIM PUK: {puk}",
    "gate code is {pin}",
    "Voicemail PIN {pin} for {person}",
    "BitLocker recovery key: {bitlocker}",
    "Recovery password for {host}\n{bitlocker}",
    "{bitlocker}",
    "otpauth://totp/{client}:{person}?secret={seed}&issuer={client}",
    "TOTP secret: {seed}",
    "2FA seed {seed}",
    "MFA setup key: {seedspaced}",
    "Windows product key: {product}",
    "slmgr /ipk {product}",
    "<private>{phrase}</private>",
    "before <private>the safe is behind {phrase}</private> after",
    "WiFi passphrase: {phrase4}",
    "FileVault recovery key {filevault}",
    "backup codes: {code8} {code8b}",
)


def _pieces(m: Maker) -> dict[str, str]:
    """What may be planted, by the name a template gives it."""
    shell = m.of(ALNUM, m.random.randint(9, 14)) + m.random.choice("+=%@_-.!") + m.of(string.digits, 2)
    password = m.password()
    plain = password.replace("$", "S").replace("&", "u").replace("#", "h").replace("*", "x").replace("?", "q")
    return {
        "pw": password,
        "pw2": m.of(ALNUM, 11) + "!7",
        "shell": m.random.choice((shell, plain.replace("!", "1"))),
        "yaml": plain.replace("!", "1").replace("%", "p").replace("@", "a"),
        "json": m.random.choice((plain, shell)),
        "sql": plain,
        "xml": plain,
        "conn": plain.replace("=", "e"),
        "url": m.of(ALNUM + "-_.~", m.random.randint(8, 20)) + "3",
        "pgpass": m.of(ALNUM, 12),
        "hex32": m.of(HEX, 32),
        "hex40": m.of(HEX, 40),
        "hex64": m.of(HEX, 64),
        "token40": m.of(ALNUM, 40),
        "token50": m.of(URLSAFE, 50),
        "aws40": m.of(BASE64, 40),
        "b64key": m.hidden(64),
        "b64short": m.hidden(32),
        "wg": m.hidden(32),
        "uuid": str(uuid.UUID(int=m.random.getrandbits(128), version=4)),
        "basic": base64.b64encode(f"{m.person()}:{m.of(ALNUM, 12)}".encode()).decode(),
        "sig": m.hidden(32).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
        "cisco7": m.of("0123456789ABCDEF", 2 * m.random.randint(7, 12)),
        "alnum12": m.of(ALNUM, 11) + m.of(string.digits, 1),
        "pin": m.of(string.digits, m.random.choice((4, 4, 4, 6))),
        "puk": m.of(string.digits, 8),
        "bitlocker": "-".join(f"{m.random.randint(1, 65535) * 11:06d}" for _ in range(8)),
        "seed": m.of(BASE32, m.random.choice((16, 32))),
        "seedspaced": " ".join(m.of(BASE32, 4) for _ in range(8)),
        "product": "-".join(m.of("BCDFGHJKMPQRTVWXY2346789", 5) for _ in range(5)),
        "phrase": f"{m.word()} {m.word()} {m.word()}",
        "phrase4": " ".join(m.word() for _ in range(4)),
        "filevault": "-".join(m.of(UPPER, 4) for _ in range(6)),
        "code8": f"{m.of(LOWER, 4)}2-{m.of(LOWER, 5)}",
        "code8b": f"{m.of(LOWER, 5)}-{m.of(LOWER, 4)}7",
        "hash22": m.of(ALNUM + "./", 22),
        "hash43": m.of(ALNUM + "./", 43),
        "hash53": m.of(ALNUM + "./", 53),
        "hash86": m.of(ALNUM + "./", 86),
    }


def _around(m: Maker) -> dict[str, str]:
    """What stands beside it."""
    return {
        "host": m.host(),
        "person": m.person(),
        "client": m.client(),
        "address": m.address(),
        "salt": m.of(ALNUM, 8),
        "salt14": m.of(ALNUM, 14),
    }


def planted(seed: int, count: int) -> Iterator[Planted]:
    """Texts with secrets, of all kinds in turn."""
    m = Maker(seed)
    groups = {"prose": PROSE, "command": COMMANDS, "config": CONFIGS, "number": NUMBERS}
    for number in range(count):
        if number % 4 == 0:
            name = list(FORMATS)[number // 4 % len(FORMATS)]
            token = FORMATS[name](m)
            yield Planted(m.random.choice(AROUND).format(token), (token,), f"format:{name}")
            continue
        if number % 40 == 1:
            yield _key(m)
            continue
        kind = m.random.choices(list(groups), weights=[40, 27, 33, 14])[0]
        template = m.random.choice(groups[kind])
        pieces = _pieces(m)
        text = template.format(**pieces, **_around(m))
        held = tuple(value for name, value in pieces.items() if f"{{{name}}}" in template)
        if template in PROSE and m.random.random() < 0.3:
            text = f"{m.random.choice(SENTENCES)} {text} {m.random.choice(SENTENCES)}" if text[-1] not in "`|" else text
        yield Planted(text, held, f"{kind}:{template[:60]}")


def _key(m: Maker) -> Planted:
    kind = m.one("RSA ", "EC ", "OPENSSH ", "", "ENCRYPTED ")
    body = m.hidden(m.random.randint(120, 600))
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    text = f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"
    if m.random.random() < 0.3:
        text = json.dumps({"private_key": text})
    return Planted(f"here it is\n{text}\nthanks", tuple(lines.splitlines()), "format:private-key")


SENTENCES: tuple[str, ...] = (
    "Called the client back at 14:30.",
    "Ticket can be closed.",
    "Backup ran through last night.",
    "Rebooted the machine twice.",
    "Waiting for the vendor.",
    "Replaced the switch in rack 3.",
    "User confirmed that it works.",
)

CLEAN: tuple[str, ...] = (
    "Password reset for {person} done, user can log in again.",
    "The password is wrong, told {person} to try again.",
    "The password is stored in the vault.",
    "password policy: minimum 12 characters, expires after 90 days",
    "Forgot password? Click here to reset it.",
    "passwords must be at least 14 characters long",
    "Please change your password on first login.",
    "He could not remember the password for the printer.",
    "I reset the password and told the user by phone.",
    "password is required",
    "Password expired on {date}, extended by 30 days.",
    "The admin password is in the safe of {client}.",
    "Das Passwort ist abgelaufen.",
    "Kennwort wurde zurückgesetzt, Benutzer informiert.",
    "Passwort bitte beim Kunden erfragen.",
    "Passwort ändern geht nur über das Portal.",
    "the token expired after {number} minutes",
    "token refresh fails with 401 on {host}",
    "secret rotation is planned for {date}",
    "API key rotation: see runbook 12",
    "the API key is missing in the request",
    "SNMP is disabled on {host}",
    "SNMP community string has to be changed on all switches",
    "community forum says the firmware {version} fixes it",
    "pin the dependency to {version}",
    "connect pin 13 to ground",
    "PIN was entered wrong three times, SIM locked",
    "key: value pairs are sorted",
    "primary key is id, foreign key is client_id",
    "the key is to restart the spooler first",
    "Login as {person} works again since the update",
    "login failed for user {person} from {address}",
    "credentials are in the vault, ask for access",
    "BitLocker recovery key is stored in Entra ID",
    "BitLocker was suspended for the BIOS update",
    "LAPS is rolled out on all machines of {client}",
    "MFA enabled for {person}, method: authenticator app",
    "2FA code is sent by SMS",
    "WPA2 key exchange fails on {host}",
    "pre-shared key mismatch in phase 1 with {address}",
    "Wi-Fi is slow in building 3, channel 11 is full",
    "rebooted {host} at {time}, uptime was {number} days",
    "Firmware {version} installed on {host}",
    "Error 0x80070005 on {host} during update KB{kb}",
    "commit {sha1}",
    "Merge pull request #{number} from team/feature-{number}",
    "fixes {short} and {short2}",
    "git checkout {short}",
    "sha256:{hex64}",
    "{hex64}  backup-{date}.tar.gz",
    "{md5}  file.iso",
    "image: registry.example.com/app@sha256:{hex64}",
    "uuid: {uuid}",
    "session {uuid} started",
    "request_id={uuid} status=200 duration={number}ms",
    "trace id {hex32} span {hex16}",
    '<img src="data:image/png;base64,{image}">',
    "data:image/png;base64,{image}",
    "integrity sha512-{sri}==",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{pub43} {person}@{host}",
    "SHA256:{pub43} is the fingerprint of {host}",
    "-----BEGIN CERTIFICATE-----",
    'if "-----BEGIN PRIVATE KEY-----" in text:',
    "def login(username: str, password: str) -> bool:",
    "password = getpass.getpass()",
    'password = os.environ["DB_PASSWORD"]',
    "password = request.form['password']",
    "password=password,",
    "user.set_password(new_password)",
    "const password = req.body.password;",
    "this.password = password;",
    "if (!password) {{ throw new Error('Password required'); }}",
    '<input type="password" name="password" placeholder="Password">',
    '<label for="password">Password</label>',
    '"password": {{"type": "string", "minLength": 12}},',
    "password: str = Field(min_length=12)",
    "  password: string;",
    "  password?: string | null",
    "password VARCHAR(255) NOT NULL,",
    "ALTER TABLE users ADD COLUMN password_hash TEXT;",
    "SELECT id, password_hash FROM users WHERE email = %s",
    "token = self._next_token()",
    "token: Token = lexer.next()",
    "tokens = tokenizer.encode(text)",
    "max_tokens={number}",
    '"total_tokens": {big},',
    "for token in tokens:",
    "api_key = settings.api_key",
    'api_key=os.getenv("API_KEY")',
    "apiKey: process.env.API_KEY,",
    'SECRET_KEY = env("SECRET_KEY")',
    "secret = Secret.from_env()",
    "DB_PASSWORD=${{DB_PASSWORD}}",
    "password: ${{{{ secrets.DB_PASSWORD }}}}",
    "password: {{{{ vault_db_password }}}}",
    "DB_PASSWORD=<your-password>",
    "export API_KEY=your_api_key_here",
    'curl -H "Authorization: Bearer $TOKEN" https://api.example.com',
    'curl -u "$USER:$PASS" https://api.example.com',
    "mysql -u root -p app",
    "mysqldump -u root -p --all-databases",
    "docker run -p 8080:80 nginx:{version}",
    "docker run -d -p 127.0.0.1:5432:5432 postgres",
    "ssh -p 2222 {person}@{address}",
    "mkdir -p /srv/{host}/data",
    "nmap -p 1-1024 {address}",
    "psql -h {host} -U app -p 5432 app",
    "unzip archive-{version}.zip -d /opt",
    "tar -xzpf backup-{date}.tar.gz",
    "net user {person} /active:yes",
    "net user {person} /domain",
    "net use Z: /delete",
    "net use Z: \\\\{host}\\data",
    "runas /user:{client}\\{person} cmd",
    "https://git.example.com/team/app/commit/{sha1}",
    "https://example.com/reset-password?step=2",
    "http://{address}:8080/login",
    "https://user@example.com/path",
    "redis://{host}:6379/0",
    "postgres://{host}:5432/app",
    "jdbc:postgresql://{host}:5432/app",
    "mailto:{person}@example.com",
    "npm install left-pad@{version}",
    "pip install requests=={version}",
    "PASSWORD_MIN_LENGTH = {number}",
    "password_reset_timeout: {number}",
    "reset_password_url = reverse('reset')",
    "resetPasswordToken is a column of users",
    "passwordField.setText(label)",
    "class PasswordForm(forms.Form):",
    "import {{ usePassword }} from './hooks/usePassword'",
    "authToken must be refreshed before {time}",
    'return jwt.decode(token, key, algorithms=["HS256"])',
    "Cookie banner blocks the login form",
    "set-cookie header is missing",
    "Bearer authentication is used for the API",
    "Basic authentication is switched off in {date}",
    "Authorization header is missing",
    "enable secret is set on all switches",
    "snmp-server location rack-{number}",
    "no snmp-server community",
    "interface Vlan{number}",
    "ip address {address} 255.255.255.0",
    "username {person} privilege 15",
    "radius-server host {address} auth-port 1812",
    "Serial number: {serial}",
    "Asset tag {client}-{number}",
    "order 2026-{number}-{kb}, invoice R{kb}",
    "MAC 00:00:5e:00:53:{hex2}",
    "IPv6 2001:db8::{hex4}:{hex4}",
    "phone +1 555 01{number}",
    "call me at 555-01{number} ext 12",
    "meeting on {date} at {time} in room {number}",
    "Invoice total 1,234.56 EUR, due {date}",
    "RAID rebuild at {number} %, ETA {time}",
    "disk usage 82% on /var of {host}",
    "Exchange 2019 CU{number} installed on {host}",
    "Windows11 23H2 build 22631.{number}",
    "the user passed the phishing test",
    "tests passed: {number}, failed: 0",
    "pass the parameter as a string",
    "All checks passed in {number}ms",
    "compass, passenger, bypass, passive mode",
    "FTP passive mode ports 50000-50100",
    "the secret to fast builds is caching",
    "secretary of {client} called",
    "Secret Manager is enabled in region eu-central-1",
    "keyboard layout was wrong at login",
    "monkey patching is not allowed",
    "the keys are at the reception",
    "license renewal for {client} on {date}",
    "account {person} locked out after 5 attempts",
    "sign in at https://portal.example.com with your work account",
    "access token lifetime is {number} minutes, refresh token 30 days",
    "encryption key length 256 bits, AES-256-GCM",
    "hash algorithm: argon2id, memory 64 MiB",
    "bcrypt cost 12 takes {number} ms",
    "import base64, hashlib, secrets",
    "secrets.token_urlsafe(32)",
    "uuid.uuid4().hex",
    "x = hmac.new(key, message, 'sha256').hexdigest()",
    "assert verify(password, hashed)",
    "logger.info('login of %s', user)",
    'ERROR: password authentication failed for user "{person}"',
    "fatal: Authentication failed for 'https://git.example.com/team/app.git'",
    "Permission denied (publickey,password).",
    "Enter passphrase for key '/home/{person}/.ssh/id_ed25519':",
    "[sudo] password for {person}:",
    "Password:",
    "Username: {person}",
    "User {person} created, mailbox migrated, licences assigned.",
    "The firewall rule allows TCP 443 from {address} to {address}.",
    "{client}: replaced UPS battery, load now {number} %",
    "We told {person} that the password has to be changed every 90 days.",
    "Password for the NAS is with the customer.",
    "passwort-manager eingeführt bei {client}",
    "rotate the credentials every {number} days",
    "service account svc_backup has no password expiry",
    "the private key never leaves the HSM",
    "public key: {pub43}",
    "cache key {short}:{number} expired",
    'etag: "{md5}"',
    'If-None-Match: "{short}"',
    "x-request-id: {uuid}",
    '"version": "{version}", "resolved": "https://example.com/left-pad-{version}.tgz"',
    "build {short} deployed to production at {time}",
    "Subproject commit {sha1}",
    "index {short}..{short2} 100644",
    "diff --git a/src/password.py b/src/password.py",
    "src/auth/token_store.py:{number}: error: unused import",
    "at Object.<anonymous> (/app/src/password.js:{number}:13)",
    '  File "/srv/app/auth/tokens.py", line {number}, in issue',
    "{long}",
)


def clean(seed: int, count: int) -> Iterator[str]:
    """Lines that hold no secret."""
    m = Maker(seed)
    for number in range(count):
        template = CLEAN[number % len(CLEAN)] if number < 2 * len(CLEAN) else m.random.choice(CLEAN)
        yield template.format(
            **{key: value for key, value in _around(m).items() if not key.startswith("salt")},
            date=f"2026-{m.random.randint(1, 12):02d}-{m.random.randint(1, 28):02d}",
            time=f"{m.random.randint(0, 23):02d}:{m.random.randint(0, 59):02d}",
            number=m.random.randint(2, 99),
            big=m.random.randint(1000, 99999),
            version=f"{m.random.randint(0, 20)}.{m.random.randint(0, 20)}.{m.random.randint(0, 99)}",
            kb=m.of("123456789", 7),
            sha1=hashlib.sha1(m.random.randbytes(8), usedforsecurity=False).hexdigest(),
            short=m.of(HEX, 7),
            short2=m.of(HEX, 8),
            md5=m.of(HEX, 32),
            hex2=m.of(HEX, 2),
            hex4=m.of("123456789abcdef", 4),
            hex16=m.of(HEX, 16),
            hex32=m.of(HEX, 32),
            hex64=m.of(HEX, 64),
            uuid=uuid.UUID(int=m.random.getrandbits(128), version=4),
            image=m.hidden(120),
            sri=m.of(BASE64, 86),
            pub43=m.of(BASE64, 43),
            serial=m.of(UPPER, 10),
            long=" ".join(m.word() for _ in range(30)),
        )


def left_of(secret: str, text: str) -> bool:
    """Whether a secret, or a long piece of it, is still in a text."""
    if len(secret) < 16:
        return secret in text
    half = len(secret) // 2
    return any(secret[at : at + half] in text for at in range(0, len(secret) - half + 1, 4))


if __name__ == "__main__":
    for each in planted(int(sys.argv[1]) if len(sys.argv) > 1 else 1, 40):
        print(each)  # noqa: T201 - what it is for
