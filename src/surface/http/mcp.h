/* The MCP server at /mcp: see mcp.c. */
#ifndef SURFACE_HTTP_MCP_H
#define SURFACE_HTTP_MCP_H

#include "surface/http/exchange.h"

extern const struct route mcp_routes[];

#endif
