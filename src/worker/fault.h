// worker/fault.h - misbehaviour on order: what a library can do to the process that loads it.
//
// For Gauntlet's own tests: a fake case (suite/suite.h) names one of these per stage, and the job's
// child does it, whatever host it was forked from.
#ifndef GT_WORKER_FAULT_H
#define GT_WORKER_FAULT_H

#include "worker/host.h"

// Do what `order` says: "WORD" or "WORD:ARGUMENT", or several of these one after the other with '+'
// between them. Returns true if the process survived it and the stage may go on to succeed, false
// for an order that it does not know.
//
//   pass                 nothing
//   exit:N               _exit(N), no reply        silent       exit(0), no reply
//   signal:NAME          dies by SIGNAME           thread:NAME  the same, in a second thread
//   grandchild:NAME      a child of the child dies by SIGNAME; then goes on
//   segv[:WHERE]         follows a null pointer    abort[:WHERE] abort()
//   overflow[:WHERE]     calls itself until the stack is full
//   nowhere[:WHERE]      calls a function by a null pointer
//                        WHERE: "thread", a second one; "threads", eight at once; "grandchild"
//   garbage              sends bytes that are no frame, then exits with 0
//   half-frame           sends the first half of a reply, then exits with 0
//   not-json             sends a frame whose text is no JSON, then exits with 0
//   crash-after-reply    sends a good reply, then dies by SIGSEGV
//   busy  sleep          never ends, in a loop or asleep
//   sleep:MS             sleeps for so many milliseconds, then goes on
//   until:FILE           waits until there is such a file, then goes on
//   stubborn             never ends, deaf to every signal that can be ignored
//   stop                 stops itself by SIGSTOP
//   flood:MIB            prints so much to stdout and stderr, then goes on
//   memory:MIB           takes and touches so much, then holds it for a second and goes on
//   leak[:N]             leaves N (1) daemonised processes that hold its output open; goes on
//   spread               leaves a daemon that is replaced by its own child every millisecond; goes on
//   half-file:NAME       writes half of a file under that name in the working folder and dies
//   fill-disk:FILE       writes FILE until the disk is full, then goes on
GT_EXPORT bool gt_fault(const char *order);

#endif // GT_WORKER_FAULT_H
