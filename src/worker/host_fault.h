// worker/host_fault.h - misbehaviour of hosts on order, for Gauntlet's own tests.
//
// The variable GAUNTLET_HOST_FAULT of the runner, which counts where GAUNTLET_FAKE is set too: "KIND:FAULT"
// or, to strike also where each job has a process of its own, "KIND+:FAULT"; a host finds FAULT alone in
// its own. worker/fault.h is the same for jobs.
//
//   start         dies by SIGSEGV before it says hello
//   mute          never says hello
//   fork          dies by SIGKILL as soon as it has forked a job
//   idle          dies by SIGABRT when a job has ended
//   hang          takes an order and does nothing for ever
//   garbage       answers an order with what is no notice
//   stranger      says that a job ended which it was never given
//   thread        gets a second thread with each job
//   descriptor    opens a descriptor with each job
//   memory        gathers 40 MiB with each job
//   child         forks a process with each job that is no job
//   limit         starts jobs that cannot be put under their limit of memory, if that is by a cgroup
#ifndef GT_WORKER_HOST_FAULT_H
#define GT_WORKER_HOST_FAULT_H

#define GT_HOST_FAULT_VARIABLE "GAUNTLET_HOST_FAULT"

enum gt_host_moment {
	GT_MOMENT_HELLO, // is about to greet
	GT_MOMENT_ORDER, // has taken an order to start a job
	GT_MOMENT_FORKED,
	GT_MOMENT_ENDED, // a job has ended
	GT_MOMENT_LIMIT, // a child is about to be put under its limit, in its supervisor
};

// Do what was ordered for this moment, if anything was. `fd` is the control socket; with GT_MOMENT_LIMIT,
// cgroup.procs of the job's group.
void gt_host_fault(enum gt_host_moment moment, int fd);

#endif // GT_WORKER_HOST_FAULT_H
