"""HTTP routes, one file a resource of the API: a route parses, authorises, calls and renders."""
