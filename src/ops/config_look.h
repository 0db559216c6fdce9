/* What reading the project file cannot tell: is there what it names, and does a driver of somebody else's take what is written for it? */
#ifndef OPS_CONFIG_LOOK_H
#define OPS_CONFIG_LOOK_H

#include "ops/workspace.h"

/* Looks at the disk of this machine and asks unship-driver-NAME programs to describe themselves. `errors`: what cannot work; `warnings`: what is not there yet, or not here. */
void config_look(struct workspace *workspace, struct problems *errors, struct problems *warnings);

#endif
