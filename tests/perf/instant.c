/* Prints CLOCK_REALTIME as the first thing it does, as JSON; the nanoseconds since the epoch fit a double badly,
   so seconds and nanoseconds stand apart. */
#include <stdio.h>
#include <time.h>

int main(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    printf("{\"ops\": 1, \"s\": %lld, \"ns\": %ld}\n", (long long)now.tv_sec, now.tv_nsec);
    return 0;
}
