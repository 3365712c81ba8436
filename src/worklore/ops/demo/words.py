"""Word lists that names are made of. None of them names a real company or person."""

from typing import Final

FIRST: Final = (
    "Amber", "Birch", "Cedar", "Copper", "Coral", "Crescent", "Dapple", "Ember", "Fallow", "Fern", "Flint", "Garnet",
    "Hazel", "Heron", "Ivory", "Juniper", "Kestrel", "Lantern", "Larch", "Linden", "Maple", "Meadow", "Mistral",
    "Mossy", "Nettle", "Oaken", "Opal", "Osprey", "Pebble", "Pine", "Quartz", "Quill", "Rowan", "Russet", "Saffron",
    "Sable", "Sorrel", "Spruce", "Tallow", "Teal", "Thistle", "Umber", "Velvet", "Walnut", "Willow", "Wren", "Yarrow",
)  # fmt: skip

SECOND: Final = (
    "Bay", "Bridge", "Brook", "Cliff", "Corner", "Court", "Crossing", "Dale", "Falls", "Field", "Ford", "Forge",
    "Gate", "Glen", "Grove", "Harbour", "Heath", "Hill", "Hollow", "Island", "Junction", "Lane", "Ledge", "Mill",
    "Orchard", "Park", "Point", "Quay", "Ridge", "Shore", "Spring", "Terrace", "Vale", "Wharf", "Yard",
)  # fmt: skip

TRADES: Final = (
    "Accounting", "Animal Clinic", "Architects", "Bakery", "Bookshop", "Builders", "Care Home", "Ceramics", "Dental",
    "Engineering", "Farm Supply", "Foods", "Freight", "Garden Centre", "Joinery", "Law", "Library", "Logistics",
    "Machine Works", "Nursery", "Optics", "Pharmacy", "Plumbing", "Primary School", "Printing", "Property",
    "Recycling", "Roofing", "Surveyors", "Textiles", "Theatre", "Timber", "Training", "Travel",
)  # fmt: skip

GIVEN: Final = (
    "Ada", "Bela", "Cleo", "Dara", "Eli", "Finn", "Gwen", "Hana", "Ines", "Jona", "Kaya", "Lior", "Mika", "Nour",
    "Orla", "Pax", "Quinn", "Remy", "Suri", "Toma", "Uma", "Vale", "Wim", "Xena", "Yuri", "Zora",
)  # fmt: skip

FAMILY: Final = (
    "Alder", "Barrow", "Calder", "Dunmore", "Eastley", "Farrow", "Garrick", "Holloway", "Inskip", "Jessop", "Kilby",
    "Lowell", "Marlow", "Norwood", "Oakham", "Penrose", "Quayle", "Radley", "Selby", "Thorne", "Upton", "Varley",
    "Wexley", "Yardley",
)  # fmt: skip

PLACES: Final = ("Main office", "North branch", "Workshop", "Warehouse", "South branch", "Showroom", "Depot", "Annexe")

TAGS: Final = {
    "backup": "operations", "certificate": "security", "dns": "network", "vpn": "network", "firewall": "network",
    "mail": "service", "database": "service", "web": "service", "storage": "operations", "patching": "operations",
    "identity": "security", "monitoring": "operations", "printing": "service", "migration": "project",
    "urgent": "priority", "recurring": "priority", "documentation": "project", "onboarding": "project",
    "virtualisation": "operations", "phones": "service", "incident": "security", "licensing": "operations",
}  # fmt: skip
"""The labels of the made-up provider, each with its category."""

VENDORS: Final = (
    "Northgate Paper", "Blue Lantern Hosting", "Tarn Telecom", "Fold and Field Supply", "Ninth Wave Broadband",
    "Cobble Parts", "Open Meadow Software", "Slate Roof Insurance",
)  # fmt: skip
"""Vendors whose documents are read."""
