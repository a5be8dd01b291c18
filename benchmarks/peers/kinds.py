"""How good alerts are on the days after training, on transactions of many kinds that no choice was fitted to.

Each kind is made as raw JSONL, and goes the whole way: `etl`, `train` with the defaults, once with labels and once without
any, and `backtest` on the days that follow. Beside it what sorting by the amount finds, and by the amount over the mean of
the user's amounts so far.

Usage: kinds.py [--seed 0] [--kinds NAME ...] [--write]
"""

import argparse
import datetime
import json
import math
import pathlib
import random
import tempfile

import numpy as np

from command import run
from tables import machine, padded, write_between

START = 1_767_225_600_000  # 2026-01-01
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
DAYS = 60
# Numbers of days: windows are warm when training starts, and the last twelve days come after it.
TRAINING, LATER = (20, 47), (48, 59)
CATEGORIES = ["grocery", "restaurant", "transport", "health", "fashion", "electronics", "travel", "gifts"]
COUNTRIES = [("DE", 51, 10), ("FR", 47, 2), ("ES", 40, -4), ("GB", 52, -1), ("US", 40, -90), ("JP", 36, 138),
             ("BR", -15, -50), ("NG", 9, 8)]
OPTIONAL = ("currency", "merchant_id", "category", "country", "channel", "device_id", "latitude", "longitude")

USUAL = {
    "users": 500, "rate": 1.5, "frauds": ("takeover", "testing", "night", "big"), "share": 0.01, "spread": (0.4, 0.8),
    "currencies": {"EUR": 1}, "missing": 0.0, "without": (), "renamed": False, "refunds": 0.0, "growing": False,
    "priced": False,
}
KINDS = {
    "account takeovers": {"frauds": ("takeover",)},
    "card testing, tiny amounts": {"frauds": ("testing",)},
    "compromised merchants": {"frauds": ("merchant",)},
    "big amounts": {"frauds": ("big",)},
    "bursts at night": {"frauds": ("night",)},
    "mixed: takeovers, testing, night, big": {},
    "mixed, amounts by category": {"priced": True},
    "mixed, 25 users": {"users": 25, "rate": 6},
    "mixed, 8,000 users": {"users": 8_000, "rate": 0.1},
    "mixed, 0.05 % frauds": {"share": 0.0005, "users": 1_200},
    "mixed, 5 % frauds": {"share": 0.05},
    "mixed, categories renamed after training": {"renamed": True},
    "mixed, three currencies": {"currencies": {"EUR": 1, "JPY": 150, "KWD": 0.3}},
    "mixed, amounts of 0.0003": {"currencies": {"BTC": 1e-5}},
    "mixed, 70 % of fields missing": {"missing": 0.7},
    "mixed, four fields only": {"without": OPTIONAL},
    "mixed, no places and devices": {"without": ("country", "latitude", "longitude", "device_id")},
    "mixed, heavy tails, refunds": {"spread": (1.2, 1.8), "refunds": 0.03},
    "mixed, users join": {"growing": True},
}


def date(day):
    return (datetime.date(2026, 1, 1) + datetime.timedelta(days=day)).isoformat()


def rounded(amount, scale):
    return round(amount * scale, 0 if scale > 100 else 8 if scale < 0.01 else 3 if scale < 1 else 2)


class Maker:
    """Transactions of people with habits, trips and new devices, and frauds among them."""

    def __init__(self, name, seed):
        self.kind = {**USUAL, **KINDS[name]}
        self.dice = random.Random(f"{name} {seed}")
        self.rows = []
        self.merchants = [self.merchant(number) for number in range(1_500)]
        self.at = {country: [one for one in self.merchants if one["country"] == country] for country in range(8)}
        self.users = [self.user(number) for number in range(self.kind["users"])]
        for user in self.users:
            self.live(user)
        honest = len(self.rows)
        for fraud in self.kind["frauds"]:
            self.plant(fraud, honest * self.kind["share"] / len(self.kind["frauds"]))
        self.finish()

    def merchant(self, number):
        dice = self.dice
        category = dice.randrange(8)
        level = dice.gauss(0, 0.4)
        if self.kind["priced"]:
            level = dice.gauss(0, 0.2) + (-0.7, -0.3, -0.8, 0.2, 0.5, 1.3, 1.7, 0.1)[category]
        country = dice.choices(range(8), [40, 15, 10, 10, 10, 5, 5, 5])[0]
        return {"id": f"m{number}", "category": category, "country": country, "level": level}

    def user(self, number):
        dice = self.dice
        home = dice.choices(range(8), [50, 15, 10, 10, 5, 4, 3, 3])[0]
        _, latitude, longitude = COUNTRIES[home]
        devices = [f"d{number}-0"] + ([f"d{number}-1"] if dice.random() < 0.4 else [])
        return {
            "id": f"u{number}", "home": home, "place": (latitude + dice.gauss(0, 1.5), longitude + dice.gauss(0, 2)),
            "rate": dice.gammavariate(2, self.kind["rate"] / 2) + 0.02, "level": dice.gauss(3.2, 0.7),
            "spread": dice.uniform(*self.kind["spread"]), "hour": dice.randint(6, 11), "hours": dice.randint(8, 14),
            "favourites": [dice.choice(self.at[home]) for _ in range(dice.randint(4, 15))], "devices": devices,
            "currency": dice.choice(list(self.kind["currencies"])),
            "joined": math.ceil(dice.uniform(-30, DAYS - 2)) if self.kind["growing"] else 0,
        }

    def amount(self, user, merchant, spread=None):
        return math.exp(self.dice.gauss(user["level"] + merchant["level"], spread or user["spread"]))

    def add(self, user, time, amount, merchant, channel, device, place=None, fraud=0):
        if not 0 <= time - START < DAYS * DAY:
            return 0
        row = {
            "user_id": user["id"], "timestamp": time, "currency": user["currency"], "merchant_id": merchant["id"],
            "amount": rounded(amount, self.kind["currencies"][user["currency"]]), "channel": channel,
            "category": CATEGORIES[merchant["category"]], "country": COUNTRIES[merchant["country"]][0],
            "device_id": device, "is_fraud": fraud,
        }
        if channel == "pos" or place:
            latitude, longitude = place or user["place"]
            row["latitude"] = round(latitude + self.dice.gauss(0, 0.05), 4)
            row["longitude"] = round(longitude + self.dice.gauss(0, 0.05), 4)
        self.rows.append(row)
        return fraud

    def live(self, user):
        """A user's honest days."""
        dice, trip = self.dice, None
        for day in range(max(0, user["joined"]), DAYS):
            if trip and day >= trip[1]:
                trip = None
            if not trip and dice.random() < 0.006:
                trip = (dice.randrange(8), day + dice.randint(2, 8))
            if dice.random() < 0.003:
                user["devices"].append(f"d-{user['id']}-{day}")
            limit, product = math.exp(-user["rate"]), dice.random()
            while product > limit:
                product *= dice.random()
                hour = dice.randrange(24) if dice.random() < 0.04 else (user["hour"] + dice.randrange(user["hours"])) % 24
                time = START + day * DAY + hour * HOUR + dice.randrange(HOUR)
                place = None
                if trip:
                    merchant, place = dice.choice(self.at[trip[0]]), COUNTRIES[trip[0]][1:]
                elif dice.random() < 0.82:
                    merchant = dice.choice(user["favourites"])
                else:
                    merchant = dice.choice(self.at[user["home"]])
                amount = max(0.3, self.amount(user, merchant) * (dice.uniform(2, 8) if dice.random() < 0.02 else 1))
                channel = "online" if dice.random() < 0.3 else "pos"
                device = user["devices"][-1 if channel == "online" or dice.random() < 0.8 else 0]
                self.add(user, time, -amount if dice.random() < self.kind["refunds"] else amount, merchant, channel,
                         device, place)

    def plant(self, fraud, wanted):
        if fraud == "merchant":
            self.compromise(wanted)
            return
        count = 0
        while count < wanted:
            user = self.dice.choice(self.users)
            time = START + self.dice.randrange(user["joined"] if user["joined"] > 0 else 0, DAYS) * DAY
            count += getattr(self, fraud)(user, time)

    def compromise(self, wanted):
        """Ordinary payments at merchants whose cards are copied for two weeks: only labels tell."""
        at = {}
        for row in self.rows:
            at.setdefault(row["merchant_id"], []).append(row)
        for merchant in self.dice.sample(self.merchants, len(self.merchants)):
            first = START + self.dice.randrange(-10, DAYS) * DAY
            for row in at.get(merchant["id"], []):
                if wanted > 0 and first <= row["timestamp"] < first + 14 * DAY and self.dice.random() < 0.6:
                    row["is_fraud"] = 1
                    wanted -= 1

    def takeover(self, user, time):
        """A stranger's device, elsewhere, buys dear things for an hour or two."""
        dice, count = self.dice, 0
        time += dice.randrange(DAY)
        country, device = dice.randrange(8), f"x{dice.randrange(10**9)}"
        place = tuple(angle + dice.gauss(0, 2) for angle in COUNTRIES[country][1:])
        for _ in range(dice.randint(3, 9)):
            time += int(dice.expovariate(1 / (15 * MINUTE)))
            merchant = dice.choice(self.at[country])
            amount = self.amount(user, merchant) * dice.uniform(1.5, 6)
            count += self.add(user, time, amount, merchant, "online", device, place, 1)
        return count

    def testing(self, user, time):
        """Whether a stolen card still works: tiny payments, one after another, at a few merchants."""
        dice, count = self.dice, 0
        time += dice.randrange(DAY)
        device = f"x{dice.randrange(10**9)}" if dice.random() < 0.5 else user["devices"][-1]
        favourite = dice.choice(self.merchants[:30])
        for _ in range(dice.randint(5, 15)):
            time += int(dice.expovariate(1 / (0.6 * MINUTE)))
            merchant = favourite if dice.random() < 0.7 else dice.choice(self.merchants[:30])
            count += self.add(user, time, dice.uniform(0.5, 2), merchant, "online", device, None, 1)
        return count

    def night(self, user, time):
        """A few payments at night, each a little unusual in several ways."""
        dice, count = self.dice, 0
        time += dice.randrange(5 * HOUR)
        for _ in range(dice.randint(3, 7)):
            time += int(dice.expovariate(1 / (4 * MINUTE)))
            merchant = dice.choice(self.merchants)
            amount = self.amount(user, merchant, 0.6) * dice.uniform(1.5, 3.7)
            channel = "online" if dice.random() < 0.7 else "pos"
            count += self.add(user, time, amount, merchant, channel, user["devices"][-1], None, 1)
        return count

    def big(self, user, time):
        """One payment of many times the usual."""
        merchant = self.dice.choice(self.at[user["home"]])
        amount = math.exp(user["level"]) * self.dice.uniform(6, 25)
        time += self.dice.randrange(DAY)
        return self.add(user, time, amount, merchant, "online", user["devices"][-1], None, 1)

    def finish(self):
        self.rows.sort(key=lambda row: row["timestamp"])
        for number, row in enumerate(self.rows):
            row["transaction_id"] = f"t{number}"
            if self.kind["renamed"] and row["timestamp"] >= START + LATER[0] * DAY:
                row["category"] = f"C-{row['category'].upper()}"
            for name in OPTIONAL:
                if name in self.kind["without"] or self.dice.random() < self.kind["missing"]:
                    row.pop(name, None)
            if ("latitude" in row) != ("longitude" in row):
                row.pop("latitude", None)
                row.pop("longitude", None)


def simple_rivals(rows):
    """Average precision on the later days of the amount, and of the amount over the mean of the user's so far."""
    from sklearn.metrics import average_precision_score

    sums, frauds, amounts, ratios = {}, [], [], []
    for row in rows:
        total, count = sums.get(row["user_id"], (0, 0))
        sums[row["user_id"]] = total + row["amount"], count + 1
        if row["timestamp"] >= START + LATER[0] * DAY:
            frauds.append(row["is_fraud"])
            amounts.append(row["amount"])
            ratios.append(row["amount"] * count / total if total > 0 else 0)
    return [average_precision_score(frauds, np.array(values)) for values in (amounts, ratios)]


class Judged:
    """What `train` chose, and what it was worth on the days after."""

    def __init__(self, lake, labelled, folder):
        folder.mkdir()
        text = run("train", "--lake", lake, "--from", date(TRAINING[0]), "--to", date(TRAINING[1]), "--promotion", "auto",
                   "--json", folder=folder)
        chosen = next(candidate for candidate in json.loads(text)["candidates"] if candidate["is_chosen"])
        self.name = chosen["name"]
        self.figures = json.loads(run("backtest", "v1", "--lake", labelled, "--from", date(LATER[0]), "--to",
                                      date(LATER[1]), "--json", folder=folder))

    @property
    def cell(self):
        figures = self.figures
        return (f"{figures['average_precision'] or 0:.3f} {self.name}; {figures['alert_precision'] or 0:.0%} of "
                f"{figures['alerts'] / figures['transactions']:.2%}")


def lake(rows, scratch, name, left_out=()):
    """A lake of the transactions without some of their members, by the command's own `etl`."""
    raw = scratch / f"{name}-raw" / "raw"
    raw.mkdir(parents=True)
    with open(raw / "transactions.jsonl", "w") as file:
        for row in rows:
            file.write(json.dumps({k: v for k, v in row.items() if k not in left_out}) + "\n")
    made = scratch / f"{name}-lake"
    run("etl", "--raw", raw.parent, "--lake", made, folder=scratch)
    return made


def measured(name, seed, scratch):
    rows = Maker(name, seed).rows
    lakes = [lake(rows, scratch, "labelled"), lake(rows, scratch, "blind", ("is_fraud",))]
    amount, ratio = simple_rivals(rows)
    informed, blind = (Judged(made, lakes[0], scratch / f"{made.name}-models") for made in lakes)
    return [name, f"{informed.figures['frauds']:,}", f"{amount:.3f}", f"{ratio:.3f}", blind.cell, informed.cell]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    table = []
    for name in arguments.kinds:
        with tempfile.TemporaryDirectory() as scratch:
            table.append(measured(name, arguments.seed, pathlib.Path(scratch)))
        print("  ".join(table[-1]), flush=True)
    text = (
        f"{padded(['transactions', 'frauds', 'amount', 'amount / usual', 'auto, no labels', 'auto, with labels'], table)}\n\n"
        f"Average precision on the 12 days after 28 days of training, what `auto` chose; how many of its alerts are frauds, and "
        f"how many of all transactions are alerts, at a budget of 1 %; {machine()}."
    )
    print(f"\n{text}")
    if arguments.write:
        write_between("docs/detectors.md", "kinds", text)


if __name__ == "__main__":
    main()
