"""Taking over what a NetBox holds: clients, sites, hosts, networks and services, from its dump, as often as wanted."""
