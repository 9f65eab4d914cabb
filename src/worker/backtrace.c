#include "worker/backtrace.h"

#include "worker/host.h"

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

// Reading a stack takes milliseconds; when a timer has ended so often, something holds it up. Not the
// machine, which may stand still for as long as it likes: all that end meanwhile come as one.
#define PERIODS 3
#define PERIOD_NS 700000000

// A fault so close to the stack's end is its overflow: above it the stack is there, unless it ends
// within the frame of the function that runs, and the largest frames are some pages long.
#define OVERFLOW_REACH (256 << 10)

static const int caught[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};

// What the handler goes by; set before anything can crash.
static struct gt_backtrace *record;
static pid_t armed;
static char program[GT_BACKTRACE_PATH]; // the loader knows no name of the program itself
static struct sigaction previous[NSIG];
static atomic_int owner;     // thread that reads its stack
static atomic_int first;     // signal that made it do so
static atomic_int handed_on; // to whoever caught it before us
static atomic_int periods;   // that have ended

// The stack of the thread that forked is replaced by this one, in case it is full.
static _Alignas(64) char own_stack[128 << 10];

bool gt_backtrace_catches(int number)
{
	for (size_t i = 0; i < GT_COUNTOF(caught); i++)
		if (caught[i] == number)
			return true;
	return false;
}

// Die of `number`, as if we had never been asked.
static _Noreturn void end_by(int number)
{
	static const struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t only;
	sigemptyset(&only);
	sigaddset(&only, number);
	for (int round = 0; round < 3; round++) {
		bool mine = atomic_exchange(&handed_on, 1);
		sigaction(number, mine ? &standard : &previous[number], NULL);
		sigprocmask(SIG_UNBLOCK, &only, NULL);
		syscall(SYS_tgkill, getpid(), gettid(), number);
	}
	_exit(128 + number); // pid 1 of a namespace that a job has made does not die of it
}

// The timer sends the signal itself: it reaches us again and ends us at last, or, where another handler
// has taken our place, it ends us without us.
static bool set_deadline(int number)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = number};
	struct itimerspec when = {.it_value.tv_nsec = PERIOD_NS, .it_interval.tv_nsec = PERIOD_NS};
	timer_t timer;
	return timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
	       timer_settime(timer, 0, &when, NULL) == 0;
}

// --- reading the stack ---

static uint32_t find_module(struct gt_backtrace *b, const char *path)
{
	if (!*path)
		path = program;
	for (uint32_t i = 0; i < b->modules; i++)
		if (strncmp(b->paths[i], path, GT_BACKTRACE_PATH - 1) == 0)
			return i;
	if (b->modules == GT_BACKTRACE_MODULES)
		return GT_BACKTRACE_MODULES;
	size_t length = strnlen(path, GT_BACKTRACE_PATH - 1);
	memcpy(b->paths[b->modules], path, length);
	b->paths[b->modules][length] = '\0';
	return b->modules++;
}

// `address` lies in the instruction that is meant. The loader answers without a lock.
static void add_frame(struct gt_backtrace *b, uintptr_t address, bool by_signal)
{
	struct dl_find_object found;
	struct gt_backtrace_frame *frame = &b->frames[b->count];
	*frame = (struct gt_backtrace_frame){
		.offset = address, .module = GT_BACKTRACE_MODULES, .by_signal = by_signal};
	if (_dl_find_object((void *)address, &found) == 0) {
		const struct link_map *map = found.dlfo_link_map;
		frame->module = find_module(b, map->l_name);
		if (frame->module < GT_BACKTRACE_MODULES)
			frame->offset = address - map->l_addr;
	}
	atomic_signal_fence(memory_order_release);
	b->count++;
}

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *user)
{
	struct gt_backtrace *b = user;
	int exact = 0; // else it is where a call returns to, which may be in the next function
	uintptr_t address = _Unwind_GetIPInfo(context, &exact);
	// The first frames are ours, up to the one that the signal interrupted.
	if (b->count == 0 && !exact)
		return _URC_NO_REASON;
	if ((address == 0 && b->count) || b->count == GT_BACKTRACE_FRAMES)
		return _URC_END_OF_STACK;
	add_frame(b, exact ? address : address - 1, exact);
	return _URC_NO_REASON;
}

static void position(const ucontext_t *context, uintptr_t *pc, uintptr_t *sp, uintptr_t *caller)
{
	*pc = *sp = *caller = 0;
#if defined(__x86_64__)
	*pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
	*sp = (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
	// A call to an address where no code is has done no more than to push this.
	struct dl_find_object found;
	if (_dl_find_object((void *)*pc, &found) != 0)
		*caller = *(const uintptr_t *)*sp;
#elif defined(__aarch64__)
	*pc = context->uc_mcontext.pc;
	*sp = context->uc_mcontext.sp;
	*caller = context->uc_mcontext.regs[30];
#else
	(void)context;
#endif
}

static void read_stack(struct gt_backtrace *b, int number, const siginfo_t *info, void *context)
{
	uintptr_t pc, sp, caller, at = (uintptr_t)info->si_addr;
	position(context, &pc, &sp, &caller);
	b->overflow = number == SIGSEGV && info->si_code > 0 && at < sp + OVERFLOW_REACH &&
	              at + OVERFLOW_REACH > sp;
	_Unwind_Backtrace(note_frame, b);
	if (b->count == 0)
		add_frame(b, pc, true);
	struct dl_find_object found;
	if (b->count == 1 && b->frames[0].module == GT_BACKTRACE_MODULES && caller &&
	    _dl_find_object((void *)caller, &found) == 0)
		add_frame(b, caller - 1, false);
	else // what lies in no module ends the reading: nobody knows how to go on from there
		b->whole = b->frames[b->count - 1].module < GT_BACKTRACE_MODULES;
}

static void note_signal(struct gt_backtrace *b, int number, const siginfo_t *info)
{
	b->pid = armed;
	b->sent_by = -1;
	if (info->si_code <= 0 && info->si_pid == armed)
		b->raised = 1;
	else if (info->si_code <= 0)
		b->sent_by = info->si_pid;
	b->signal = number;
}

static void on_crash(int number, siginfo_t *info, void *context)
{
	if (getpid() != armed)
		end_by(number);
	int nobody = 0, self = gettid();
	if (!atomic_compare_exchange_strong(&owner, &nobody, self)) {
		if (info->si_code == SI_TIMER && atomic_fetch_add(&periods, 1) + 1 < PERIODS)
			return;
		while (nobody != self && info->si_code != SI_TIMER)
			pause(); // the thread that came first ends us all
		end_by(atomic_load(&first)); // a crash while the stack was read, or no end of it
	}
	atomic_store(&first, number);
	sigset_t all;
	sigemptyset(&all);
	for (size_t i = 0; i < GT_COUNTOF(caught); i++)
		sigaddset(&all, caught[i]);
	// One that is blocked would end us by its own name instead of coming here.
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	note_signal(record, number, info);
	if (set_deadline(number))
		read_stack(record, number, info, context);
	end_by(number);
}

// --- in peace ---

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static _Unwind_Reason_Code ignore_frame(struct _Unwind_Context *context, void *user)
{
	(void)context;
	(void)user;
	return _URC_NO_REASON;
}

void gt_backtrace_warm_up(void)
{
	struct dl_find_object found;
	ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
	program[n > 0 ? n : 0] = '\0';
	(void)!_dl_find_object((void *)(uintptr_t)gt_backtrace_warm_up, &found);
	_Unwind_Backtrace(ignore_frame, NULL);
}

struct gt_backtrace *gt_backtrace_new(void)
{
	if (SANITIZED)
		return NULL;
	void *shared = mmap(NULL, sizeof(struct gt_backtrace), PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared == MAP_FAILED ? NULL : shared;
}

static void put_handlers(void)
{
	struct sigaction mine = {.sa_sigaction = on_crash,
	                         .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	for (size_t i = 0; i < GT_COUNTOF(caught); i++) {
		struct sigaction old;
		if (sigaction(caught[i], &mine, &old) == 0 && old.sa_sigaction != on_crash)
			previous[caught[i]] = old;
	}
}

void gt_backtrace_arm(struct gt_backtrace *backtrace)
{
	stack_t stack = {.ss_sp = own_stack, .ss_size = sizeof own_stack};
	if (!backtrace)
		return;
	record = backtrace;
	armed = getpid();
	if (sigaltstack(&stack, NULL) == 0)
		put_handlers();
}

void gt_worker_catch_crashes(void)
{
	if (record && getpid() == armed)
		gt_backtrace_arm(record);
}
