#define FACTOR 20
#define OFFSET 7
#define STEP 200
#include "names.h"

SEC("xdp") int prog(struct xdp_md *ctx)
{
	return answer();
}
