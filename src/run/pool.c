#include "run/pool.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

static void note(struct gt_pool *pool, const char *what, const char *why, char *message)
{
	if (pool->note)
		pool->note(pool, what, why, message);
	free(message);
}

// One more did not live to see a job reported. `last` says of what. True if it was one too many.
static bool falls_back(struct gt_pool *pool, const char *last)
{
	if (++pool->deaths < GT_MAX_HOST_DEATHS)
		return false;
	pool->fallen_back = true;
	note(pool, "fallback", "death",
	     gt_format("the %s host could not be kept %d times in a row (the last time: %s): from now on "
	               "each of its jobs has a process of its own, which takes longer and changes no result",
	               gt_host_name(pool->kind), pool->deaths, last));
	return true;
}

// It forks no more, but serves the jobs that it has.
static void note_unfit(struct gt_pool *pool, const struct gt_host *host)
{
	// One that was so from the beginning may be followed by another that is.
	if (host->started > 0 || !falls_back(pool, host->surprise_text))
		note(pool, "replaced", host->surprise,
		     gt_format("the %s host was replaced before it could do harm: %s",
		               gt_host_name(pool->kind), host->surprise_text));
}

static void note_death(struct gt_pool *pool, const struct gt_host *host)
{
	const char *text = host->failure ? host->failure : host->surprise_text;
	if (host->reported)
		pool->deaths = 0;
	if (falls_back(pool, text))
		return;
	if (host->failure)
		note(pool, "replaced", "death", gt_strdup(host->failure));
	else
		note(pool, "replaced", host->surprise,
		     gt_format("the %s host was replaced: %s; whatever it ran is tried again",
		               gt_host_name(pool->kind), text));
}

static void on_changed(struct gt_host *host)
{
	struct gt_pool *pool = host->user;
	bool gone = host->state == GT_HOST_IDLE || host->state == GT_HOST_FAILED;
	if (host->state == GT_HOST_READY && !host->once) {
		json_decref(pool->identity);
		pool->identity = json_incref(host->identity);
	}
	if (host == pool->shared && host->state != GT_HOST_READY) {
		pool->shared = NULL;
		if (!gone)
			note_unfit(pool, host);
		else if (!host->stopped)
			note_death(pool, host);
	}
	if (host->state != GT_HOST_RETIRED)
		pool->changed(pool, host);
	if (gone) {
		gt_host_free(host);
		free(host);
	}
}

gt_code gt_pool_host(struct gt_pool *pool, bool own, struct gt_host **out, struct gt_err *err)
{
	own = own || pool->fallen_back;
	*out = own ? NULL : pool->shared;
	if (*out)
		return GT_OK;
	struct gt_host *host = gt_zalloc(1, sizeof *host);
	*host = (struct gt_host){.kind = pool->kind, .once = own, .changed = on_changed, .user = pool,
	                         .job_memory = pool->job_memory, .control = -1, .log = -1};
	gt_code rc = gt_host_start(host, pool->loop, pool->tools, err);
	bool handled = rc && host->state == GT_HOST_ENDING; // and goes when its handle is closed
	if (rc && !handled) {
		gt_host_free(host);
		free(host);
	}
	if (rc && (!handled || rc == GT_NO_MEMORY)) // that another would not find either
		return rc;
	if (!own)
		pool->shared = host; // one that could not be started tells so when its handle is closed
	*out = host;
	return GT_OK;
}

bool gt_pool_ready(const struct gt_pool *pool)
{
	return pool->fallen_back || (pool->shared && pool->shared->state == GT_HOST_READY);
}

void gt_pool_stop(struct gt_pool *pool)
{
	if (pool->shared)
		gt_host_stop(pool->shared);
}

void gt_pool_free(struct gt_pool *pool)
{
	json_decref(pool->identity);
	pool->identity = NULL;
}
