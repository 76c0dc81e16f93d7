# x86: what functions.c needs from below, and shapes that no compiler makes. No frame data describes
# these: what the unwinder finds must come from the instructions.
    .intel_syntax noprefix
    .text

    .globl _asm_halt
_asm_halt:
    ud2

# Takes eax bytes off the stack of its caller.
    .globl __chkstk
__chkstk:
    push ecx
    lea ecx, [esp + 4]
    sub ecx, eax
    mov eax, esp
    mov esp, ecx
    mov ecx, [eax]
    mov eax, [eax + 4]
    jmp eax

# The usual frame, with saved registers.
    .globl _asm_frame
_asm_frame:
    push ebp
    mov ebp, esp
    sub esp, 8
    push ebx
    push esi
    push edi
    mov ebx, [ebp + 8]
    mov esi, 7
    xor edi, edi
    push esi
    push ebx
    call _asm_leaf
    add esp, 8
    pop edi
    pop esi
    pop ebx
    leave
    ret

# Its pushed ebp comes after the place for a patch.
    .globl _asm_hotpatch
_asm_hotpatch:
    mov edi, edi
    push ebp
    mov ebp, esp
    push dword ptr [ebp + 12]
    push dword ptr [ebp + 8]
    call _asm_frame
    mov esp, ebp
    pop ebp
    ret

# It takes its own arguments off.
    .globl _asm_stdcall
_asm_stdcall:
    push ebp
    mov ebp, esp
    push esi
    mov esi, [ebp + 8]
    push esi
    push esi
    call _asm_leaf
    lea esp, [ebp - 4]
    pop esi
    pop ebp
    ret 8

    .globl _asm_leaf
_asm_leaf:
    mov eax, [esp + 4]
    add eax, [esp + 8]
    ret

    .data
    .globl _g_sink
_g_sink: .quad 0
    .globl _g_functions
_g_functions: .quad 0, 0, 0, 0
