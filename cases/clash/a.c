#define FACTOR 10
#define OFFSET 5
#define STEP 100
#include "names.h"

SEC("xdp") int prog(struct xdp_md *ctx)
{
	return answer();
}
